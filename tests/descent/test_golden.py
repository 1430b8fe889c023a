"""Golden numbers of descent, so that a change of result cannot pass unseen.

Inputs, labels, gates and first weights are formulas, so that nothing is drawn. The numbers are
those of float64 with numpy 1.23 and 2.4, which agree in all digits. Rounding in the first weights
changes them by less than 1e-11; of accelerated descent that holds for 200 steps, since sharp
margins make it grow, to 1e-4 after 400.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gnorm.descent import Adam, GatedNetwork, GradientDescent, Network, kkt_residual
from gnorm.descent.layers import (
    Bias,
    Convolution,
    Dense,
    LayerNorm,
    LeakyReLU,
    ReLU,
    residual,
)

RTOL = 1e-8
n = np.arange(12)
X = np.column_stack([n % 5 - 2, 3 * n % 7 - 3, n % 3 - 1]) / 2.0
Y = np.where(n * n % 11 < 5, 1, -1)
CLASSES = n * n % 3
IS_FIRST = (n[:, None] + np.arange(4)) % 3 == 0
ACTIVATIONS = np.stack([IS_FIRST, ~IS_FIRST], axis=2)


def gln():
    return GatedNetwork.gln(3, 4, 2)


def relu_with_normalisation():
    hidden = [Dense(3, 4), Bias(4), ReLU(), Dense(4, 4), LayerNorm(4, affine=True), ReLU()]
    return Network(3, [*hidden, Dense(4, 1)])


def convolution_with_a_residual():
    block = residual(Dense(9, 9), ReLU())
    return Network(3, [Convolution(3, 2, 1, 3), LeakyReLU(0.2), block, Dense(9, 3)])


@pytest.mark.parametrize(
    ("build", "descent", "y", "activations", "expected"),
    [
        pytest.param(
            gln,
            lambda: GradientDescent.accelerated(X, 100),
            Y,
            ACTIVATIONS,
            {
                "min_margin": 18168.475112715416,
                "kkt": 0.1310115726987235,
            },
            id="accelerated GLN",
        ),
        pytest.param(
            gln,
            lambda: GradientDescent(0.1, momentum=0.9, max_steps=200),
            Y,
            ACTIVATIONS,
            {
                "loss": 0.0016129792708482777,
                "min_margin": 5.269648376004218,
                "squared_norm": 48.484991469711865,
                "unit_balance": [0.79008092, 1.39337249, 2.40703004, 0.71143158],
            },
            id="momentum GLN",
        ),
        pytest.param(
            relu_with_normalisation,
            lambda: GradientDescent(0.1, max_steps=200),
            Y,
            None,
            {
                "loss": 0.019111860284255246,
                "min_margin": 3.2449427134097917,
                "squared_norm": 14.313567501143742,
            },
            id="plain ReLU with bias and normalisation",
        ),
        pytest.param(
            convolution_with_a_residual,
            lambda: Adam(0.01, max_steps=200),
            CLASSES,
            None,
            {
                "loss": 0.002036157616532545,
                "min_margin": 4.48420394694082,
                "squared_norm": 59.16365188868391,
                "layer_norms": [2.04327353, 6.2173485, 4.04144315],
            },
            id="Adam on a convolution with a residual branch",
        ),
    ],
)
def test_numbers_of_a_run(build, descent, y, activations, expected):
    network = build()
    network.parameters[:] = 0.5 * np.sin(1.0 + np.arange(len(network.parameters)))
    history = descent().train(network, X, y, activations)
    for name, value in expected.items():
        is_row = name in history.names
        got = history[name][-1] if is_row else kkt_residual(network, X, y, activations)
        assert_allclose(got, value, rtol=RTOL, err_msg=name)
