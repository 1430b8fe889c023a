"""Max-margin classifiers of the gated norms: names of :mod:`gnorm.estimators`.

They stand here for code and pickles of gnorm 0.1.0.
"""

from gnorm.estimators.svc import FReLUSVC, GatedL2SVC, GLNNormSVC, ShallowGLNSVC

__all__ = ["FReLUSVC", "GLNNormSVC", "GatedL2SVC", "ShallowGLNSVC"]
