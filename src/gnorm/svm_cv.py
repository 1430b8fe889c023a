"""Max-margin classifiers that choose C by cross-validation: names of :mod:`gnorm.estimators`.

They stand here for code and pickles of gnorm 0.1.0.
"""

from gnorm.estimators.cv import FReLUSVCCV, GLNNormSVCCV

__all__ = ["FReLUSVCCV", "GLNNormSVCCV"]
