"""The record of a warm start under the name that it had in gnorm 0.1.0.

Estimators that were fitted with ``warm_start=True`` and pickled by that version name it, and load
only as long as it is here.
"""

from gnorm.estimators.data import PreviousFit as Before

__all__ = ["Before"]
