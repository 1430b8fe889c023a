"""Every norm of the catalogue is where the descent that induces it ends."""

import numpy as np
import pytest

from examples import watched
from gnorm.norms import catalogue

CASES = watched.cases()


def test_every_norm_that_a_network_induces_is_watched():
    rows = catalogue()
    names = {row.name for row in rows if row.is_convex and not row.architecture.startswith("none")}
    assert set(CASES) == names
    for row in rows:
        if row.name in CASES:
            assert type(CASES[row.name].norm) is row.norm


@pytest.mark.parametrize("name", CASES)
def test_descent_ends_at_the_largest_margin_in_its_norm(name):
    case = CASES[name]
    objective = case.start(0)
    before = case.measure(objective)["ratio"]
    n_steps = {"max_abs": 3000, "lp_groups": 2000, "operator": 2000}.get(name, 1000)
    case.descent(n_steps).minimize(objective)
    reached = case.measure(objective)
    assert before < 0.9
    assert watched.REACHED <= reached["ratio"] <= 1 + 1e-6
    assert reached["other"] < 0.8
    # the solutions of the linear program are not unique, all others are
    assert reached["distance"] < (0.2 if name == "max_abs" else 0.1)


@pytest.mark.parametrize("name", ["gln", "max_abs", "nuclear", "operator"])
def test_the_exact_solutions_have_the_margins(name):
    case = CASES[name]
    X, y, activations = case.data
    assert np.min(y * case.exact.decision_values(X, activations)) >= 1 - 1e-6
    assert case.exact.duality_gap < 1e-6
