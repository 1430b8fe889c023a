"""Problems with every norm of the catalogue: certified, and the certificate made again."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gnorm import NotSeparableError, gated, max_margin, solve
from gnorm.losses import get_loss
from gnorm.norms import (
    L1,
    DeepDiagonal,
    FourierL1,
    FReLU,
    GroupNorm,
    LpGroups,
    MaxAbs,
    Norm,
    Nuclear,
    PredictorL2,
    UnitNorm,
    catalogue,
)

NORMS = [
    example
    for row in catalogue()
    for example in row.norm.examples()
    if isinstance(example, Norm) and not isinstance(example, FReLU)  # which has one context
]
ids = [repr(norm) for norm in NORMS]


def data(seed=0, n_samples=20, n_features=6, n_units=2):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    y = np.where(rng.normal(size=n_samples) > 0, 1.0, -1.0)
    is_open = X @ rng.normal(size=(n_features, n_units)) > 0
    return X, y, np.stack([is_open, ~is_open], axis=-1)


def separable(seed=0):
    X, _, activations = data(seed)
    zeta = np.random.default_rng(seed + 1).normal(size=(2, 2, 6))
    return X, np.sign(gated.decision_values(X, activations, zeta)), activations


def assert_certified(solution, problem, norm, loss, C, tol):
    """Both values, made again from the formulas."""
    X, y, activations = problem
    f = solution.decision_values(X, activations)
    weight = np.full(len(y), C)
    b = solution.dual_coef if not loss.is_margin else y * solution.dual_coef
    columns = b if b.ndim == 2 else b[:, None]
    V = np.stack([gated.accumulate(X, activations, column) for column in columns.T], axis=-1)
    zeta = solution.zeta
    if isinstance(norm, UnitNorm):
        zeta, V = zeta.reshape(*zeta.shape[:2], -1), V.reshape(*V.shape[:2], -1)
    else:
        V = V.reshape(zeta.shape)
    if np.isinf(C):
        assert np.min(y * f) >= 1 - 1e-9
        primal, conjugate = 0.0, -np.sum(y * b)
    else:
        primal = float(np.sum(loss.value(y, f, weight)))
        conjugate = float(np.sum(loss.conjugate(y, b, weight)))
    primal += norm.value(zeta) ** 2 / 2
    dual = -conjugate - norm.dual(V) ** 2 / 2
    assert_allclose(solution.primal_value, primal, rtol=1e-9)
    assert_allclose(solution.dual_value, dual, rtol=1e-9)
    assert -1e-9 <= (primal - dual) / primal <= tol
    assert_allclose(solution.norm, norm.value(zeta), rtol=1e-9)


@pytest.mark.parametrize(
    "loss", ["hinge", "hard", "log_loss", pytest.param("absolute_error", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("norm", NORMS, ids=ids)
def test_every_norm_is_solved_with_a_certificate(norm, loss):
    X, y, activations = separable() if loss == "hard" else data()
    C = np.inf if loss == "hard" else 0.5
    loss = get_loss("hinge" if loss == "hard" else loss)
    solution = solve(X, y, activations, norm=norm, loss=loss, C=C, tol=1e-5)
    assert_certified(solution, (X, y, activations), norm, loss, C, 1e-5)
    if loss.name != "hinge" or np.isinf(C):
        return
    other = solve(X, y, activations, norm=norm, loss=loss, C=C, tol=1e-3, method="scs")
    assert_allclose(other.primal_value, solution.primal_value, rtol=1e-3)


@pytest.mark.parametrize("norm", [n for n in NORMS if n.takes_outputs], ids=repr)
def test_norms_of_several_outputs(norm):
    X, _, activations = data()
    y = np.random.default_rng(1).integers(3, size=len(X))
    loss = get_loss("multinomial").fitted_to(y)
    if norm == Nuclear(shape=(2, 3)) or getattr(norm, "shape", None):
        with pytest.raises(ValueError, match="6 features and one output for matrices of shape"):
            solve(X, y, activations, norm=norm, loss=loss, C=0.5)
        return
    solution = solve(X, y, activations, norm=norm, loss=loss, C=0.5, tol=1e-5)
    assert solution.zeta.shape == (2, 2, 6, 3)
    assert_certified(solution, (X, y, activations), norm, loss, 0.5, 1e-5)


def test_one_norm_by_two_names_has_one_optimum():
    X, y, activations = data()
    pairs = [("group", LpGroups(2)), ("max_abs", LpGroups(np.inf)), ("group", Nuclear())]
    for one, other in pairs:
        values = [
            solve(X, y, activations, norm=norm, C=0.3, tol=1e-7).primal_value
            for norm in (one, other)
        ]
        assert_allclose(*values, rtol=1e-6)


@pytest.mark.parametrize("norm", [MaxAbs(), L1()], ids=repr)
@pytest.mark.parametrize("loss", ["hinge", "absolute_error", "epsilon_insensitive", "quantile"])
@pytest.mark.parametrize(
    "C",
    [
        pytest.param(1e-3, marks=pytest.mark.slow),
        0.05,
        pytest.param(1.0, marks=pytest.mark.slow),
        100.0,
    ],
)
def test_linear_programs_end_at_the_optimum(norm, loss, C):
    X, y, activations = data(n_samples=40)
    solution = solve(X, y, activations, norm=norm, loss=loss, C=C, tol=1e-9)
    assert solution.method == "highs"
    assert_certified(solution, (X, y, activations), norm, get_loss(loss), C, 1e-9)
    conic = solve(X, y, activations, norm=norm, loss=loss, C=C, tol=1e-4, method="clarabel")
    assert_allclose(conic.primal_value, solution.primal_value, rtol=1e-4)


@pytest.mark.parametrize("unit", [1e-5, 1e5])
@pytest.mark.parametrize("norm", [MaxAbs(), FourierL1(), LpGroups(4), Nuclear()], ids=repr)
def test_units_of_the_data_do_not_matter(norm, unit):
    X, y, activations = data()
    value = max_margin(X, y, activations, 0.1, norm=norm).primal_value
    rescaled = max_margin(unit * X, y, activations, 0.1 / unit**2, norm=norm).primal_value
    assert_allclose(rescaled * unit**2, value, rtol=1e-5)


def test_some_hard_margins():
    X, y, activations = separable()
    C = np.where(np.arange(len(y)) % 3 == 0, np.inf, 0.1)
    for norm in (MaxAbs(), LpGroups(3)):
        solution = max_margin(X, y, activations, C, norm=norm)
        margins = y * solution.decision_values(X, activations)
        assert np.min(margins[::3]) >= 1 - 1e-9
        other = max_margin(X, y, activations, C, norm=norm, method="scs", tol=1e-4)
        assert_allclose(other.primal_value, solution.primal_value, rtol=1e-4)


@pytest.mark.parametrize("norm", [n for n in NORMS if not isinstance(n, UnitNorm)], ids=repr)
def test_inseparable_data_come_with_the_proof(norm):
    X, y, activations = separable()
    X, y = np.vstack([X, X[:1]]), np.append(y, -y[0])
    activations = np.concatenate([activations, activations[:1]])
    with pytest.raises(NotSeparableError) as raised:
        max_margin(X, y, activations, norm=norm)
    a = raised.value.certificate
    assert_allclose(gated.accumulate(X, activations, a * y), 0.0, atol=1e-10)
    assert_allclose(a.sum(), 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "max_abs", "method": "interior-point"}, r"got MaxAbs\(\); method='highs' takes"),
        ({"norm": LpGroups(4), "method": "primal"}, "norm of kernels, .*method='clarabel' takes"),
        ({"norm": "l2", "method": "highs"}, "polyhedral norm, L1 or MaxAbs, .*'interior-point'"),
        (
            {"norm": "l1", "method": "highs", "loss": "log_loss"},
            r"got L1\(\) and 'log_loss'; method='clarabel' takes them",
        ),
        ({"norm": Nuclear(shape=(2, 4))}, "expected 8 features and one output for matrices"),
        ({"norm": "deep_diagonal"}, r"quasi-norm DeepDiagonal, which is not convex.*L1\(\)"),
        ({"norm": DeepDiagonal(3)}, r"quasi-norm DeepDiagonal, which is not convex.*L1\(\)"),
        ({"norm": "k_support"}, r"which has parameters, such as KSupport\(k=4\)"),
        (
            {"norm": MaxAbs(), "loss": "multinomial"},
            "expected one output .* MaxAbs, got 2; Nuclear",
        ),
        ({"norm": PredictorL2(), "unit_weights": [1, 1]}, "expected norm=None beside unit_weights"),
    ],
)
def test_errors_say_what_would_do(options, message):
    X, y, activations = data()
    if options.get("loss") == "multinomial":
        y = (y > 0).astype(int)
    with pytest.raises(ValueError, match=message):
        solve(X, y, activations, **options)


def test_group_norm_is_the_same_problem_by_its_expression():
    """A norm of kernels, with its kernels hidden."""

    class Hidden(Norm):
        norm = GroupNorm()

        def value(self, zeta):
            return self.norm.value(zeta)

        def dual(self, sums):
            return self.norm.dual(sums)

        def expression(self, zeta):
            return self.norm.expression(zeta)

    X, y, activations = data()
    values = [
        solve(X, y, activations, norm=norm, loss="log_loss", tol=1e-7).primal_value
        for norm in (Hidden(), GroupNorm())
    ]
    assert_allclose(*values, rtol=1e-6)
