"""How functions scale."""
from gnorm.homogeneity.dilation import Dilation
from gnorm.homogeneity.degree import *
from gnorm.homogeneity.calculus import *
from gnorm.homogeneity.approximate import *
from gnorm.homogeneity.clarke import *
from gnorm.homogeneity.identification import *
from gnorm.homogeneity.estimators import *
