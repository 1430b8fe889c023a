"""The record of a warm start under the name that it had in gnorm 0.1.0, for pickles of that."""

from gnorm.estimators.data import PreviousFit as Before

__all__ = ["Before"]
