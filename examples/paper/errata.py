"""Errata of the paper and of its published experiments: claim, check and verdict of each.

E1, E2 and E6 are checked from scratch, E3, E4 and E5 with the results file: `run errata` gives each
something to be checked with, `run all` everything. A verdict is what the numbers of the check say.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from gnorm import HyperplaneGates, gated, max_margin, norms
from gnorm.datasets import load_binary_digits
from gnorm.descent import GatedNetwork, GradientDescent, kkt_residual, margin_ratio

from .compare import Ours, interval, mean_sd, published_gln, where
from .data import Experiment, in_published_groups, read_results
from .experiments import matrix_of_23, solved, trained
from .results import inconsistency
from .samples import with_constant

UNCHECKED = "not checked: it takes results on MNIST, of `run errata` at least"
NOT_SEEN = "not seen in these numbers"
MOST_IMAGES = 10  # by which a rerun of a published solve is off, of 12,000


@dataclass(frozen=True)
class Erratum:
    """What is claimed, what a check gave, and what follows."""

    name: str
    claim: str
    check: list
    verdict: str

    @property
    def text(self):
        checks = "\n".join(f"    {line}" for line in self.check or ["none"])
        return (
            f"{self.name}\n  claim    {self.claim}\n  check\n{checks}\n  verdict  {self.verdict}\n"
        )


def e1_factor_of_the_norm(results=None):
    rng = np.random.default_rng(0)
    ratios, agreements = [], []
    for _ in range(20):
        zeta = rng.normal(size=(2, 2, 3))
        beta = gated.predictors(zeta)
        products = sum(
            np.linalg.norm(beta[i, j] - beta[1 - i, j])
            * np.linalg.norm(beta[i, j] - beta[i, 1 - j])
            for i in range(2)
            for j in range(2)
        )
        of_21 = np.sqrt(np.sum(beta**2) + 0.5 * products)
        # definition (20): all representations of beta are shifts of one
        found = minimize(
            lambda a, zeta=zeta: sum(np.linalg.norm(zeta[h] + s * a) for h, s in ((0, 1), (1, -1))),
            np.zeros(3),
            tol=1e-12,
        ).fun
        ratios.append(of_21 / found)
        agreements.append(abs(norms.gln_norm(zeta) / found - 1))
    is_multiple = np.allclose(ratios, np.sqrt(2), rtol=1e-5)
    return Erratum(
        "E1: (21) is sqrt(2) times the norm of (20)",
        "(21) gives the GLN norm defined by (20) for H = C = 2",
        [
            "20 random families, (20) minimised numerically over all representations",
            f"(21) / (20): {min(ratios):.6f} to {max(ratios):.6f}; sqrt(2) = {np.sqrt(2):.6f}",
            f"gnorm.norms.gln_norm / (20) - 1: at most {max(agreements):.0e}",
        ],
        "(21) lacks a factor 1/2 under the root; no predictor changes, norms do"
        if is_multiple
        else NOT_SEEN,
    )


def e2_root_of_the_l2_form(results=None):
    lines, excess = [], []
    for n_units, n_contexts in ((2, 2), (10, 2), (10, 4)):
        size = n_units * n_contexts
        same_unit = np.kron(np.eye(n_units), np.ones((n_contexts, n_contexts)))
        M = n_contexts * np.eye(size) + 1.0 - same_unit
        A = matrix_of_23(n_units, n_contexts)
        right = (
            np.sqrt(n_contexts) * np.eye(size)
            - same_unit / np.sqrt(n_contexts)
            + 1.0 / np.sqrt(size)
        )
        constant = np.full(size, 1.0 / np.sqrt(size))
        within = np.zeros(size)
        within[:2] = np.sqrt(0.5), -np.sqrt(0.5)
        of_m, of_a = ([v @ B @ v for v in (within, constant)] for B in (M, A @ A))
        weight = of_a[0] / of_a[1] / (of_m[0] / of_m[1])
        excess.append(weight / (n_contexts**2 * n_units))
        lines.append(
            f"H = {n_units:2d}, C = {n_contexts}: eigenvalues of M on deviations and constant "
            f"{of_m[0]:.0f}, {of_m[1]:.0f}; of A^2 {of_a[0]:.0f}, {of_a[1]:.0f}; "
            f"deviations weigh {weight:.0f} times too much "
            f"(C^2 H = {n_contexts**2 * n_units}); right root: error "
            f"{np.abs(right @ right - M).max():.0e}"
        )
    return Erratum(
        "E2: (23) and (25) are not the L2 norm of the predictors",
        "A of (23) satisfies A^2 = M, so that ||A zeta|| is the L2 norm of the predictors",
        lines,
        "SVM-L2 was run with another norm: deviations between contexts cost C^2 H times too much"
        if np.allclose(excess, 1.0)
        else NOT_SEEN,
    )


def e3_groups(results):
    """Published groups on the published gates, image by image."""
    title = "E3: the published solver grouped contexts of different units"
    claim = (
        "the published SVM-GLN minimises sum_h ||zeta_h|| over units h (images right, of 12,000)"
    )
    rows = list(results.rows)
    found = {
        (r["model"], r["n_units"], r["n_contexts"], r["cutoff"], r["n_train"]): r
        for r in rows
        if r.get("published_gates") and r["seed"] == 1 and "accuracy" in r
    }
    lines = [" H  C cutoff     N  published  its groups  right groups"]
    differences = {"its": [], "right": []}
    widths = []
    for row in read_results("max_margin"):
        config = int(row["n_units"]), int(row["n_contexts"]), row["cutoff"], int(row["n_train"])
        ours = [found.get((m, *config)) for m in ("SVM-GLN published groups", "SVM-GLN")]
        if None in ours or not row["published"]:
            continue
        published = int(row["published"])
        its, right = (round(r["accuracy"] * Experiment.n_validation) for r in ours)
        widths.append(int(row["n_units"]))
        differences["its"].append(its - published)
        differences["right"].append(right - published)
        h, c, cutoff, n = config
        lines.append(f"{h:3d} {c:2d} {cutoff:6s} {n:5d} {published:10d} {its:11d} {right:13d}")
    if not differences["its"]:
        return Erratum(title, claim, [], UNCHECKED)
    sizes = {name: np.abs(values) for name, values in differences.items()}
    for name, size in sizes.items():
        lines.append(
            f"{name} groups: {np.sum(size == 0)} of {len(size)} exact, {np.sum(size <= 2)} within "
            f"2 images, at most {size.max()}, mean absolute difference {size.mean():.1f}"
        )
    narrow = np.array(widths) <= 50
    for name, chosen in (("H <= 50", narrow), ("H = 100", ~narrow)):
        if chosen.any():
            worst = sizes["its"][chosen].max()
            lines.append(f"its groups, {name}: at most {worst} of 12,000 images off")
    its, right = sizes.values()
    is_seen = its.max() <= MOST_IMAGES < right.max()
    lines += unpenalised_directions(rows)
    return Erratum(
        title,
        claim,
        lines,
        "its groups are the flat indices r, r + H, ...: with them its accuracies come out to "
        f"{its.max()} images, with the right ones only to {right.max()}"
        if is_seen
        else NOT_SEEN,
    )


def unpenalised_directions(rows):
    """In the published groups the form of SVM-L2 is zero on directions that change the function."""
    X, _, y, _ = load_binary_digits(test_size=1597, random_state=0)
    X = with_constant(X)
    lines = []
    for n_units in (10, 50):
        groups = in_published_groups(HyperplaneGates(n_units, random_state=0).fit_transform(X))
        # zeta_gk = a_g with sum_g a_g = 0 is in the null space of A. The values are then
        # sum_g n_g <a_g, x>, where n_g contexts of group g are on; less their mean, the n_g make
        # the sum of all a_g indifferent, and ||zeta||^2 is C sum_g ||a_g||^2
        n_on = groups.sum(axis=2)
        features = (n_on - n_on.mean(axis=1, keepdims=True))[:, :, None] * X[:, None, :]
        features = features.reshape(len(X), -1) / np.sqrt(groups.shape[2])
        free = features.any(axis=1)
        always = np.ones((int(free.sum()), 1, 1), dtype=bool)
        solution = max_margin(features[free], y[free], always)
        solved(solution)
        lines.append(
            f"SVM-L2 in its groups, C = 2, H = {n_units}: directions without penalty separate "
            f"{free.sum()} of {len(X)} digits of 8 x 8 pixels, at a margin of "
            f"{solution.margin:.2f} for ||zeta|| = 1"
        )
    norms_of = {"SVM-L2 published groups": {}, "SVM-L2 of (23)": {}}
    for row in rows:
        if row["model"] in norms_of and "norm" in row:
            key = tuple(row[k] for k in ("n_units", "n_contexts", "n_train", "cutoff", "seed"))
            norms_of[row["model"]][key] = row["norm"]
    its, right = norms_of.values()
    ratios = [its[key] / right[key] for key in its if key in right]
    if ratios:
        lines.append(
            "SVM-L2 on MNIST, least norm in its groups over that in the right ones, with a weight "
            f"of 1e-4 on these directions: {np.median(ratios):.3f} in the median of {len(ratios)} "
            f"runs, {min(ratios):.3f} to {max(ratios):.3f}"
        )
    return lines


def e4_reloaded_gates(results):
    """The published inconsistency, and ours with one thing changed at a time."""
    title = "E4: networks with median cutoffs were compared under other gates"
    claim = (
        "Fig. 2b: the published inconsistency is between a network and the SVM on the same gates"
    )
    ours = Ours(results)
    names = ("n_units", "n_contexts", "n_train", "seed", "cutoff")
    published = {
        tuple(r[name] for name in names): r["unlike"]
        for r in published_gln()
        if r["model"] == "SVM-GLN"
    }
    lines = [
        "GD-GLN unlike SVM-GLN [%]: as published; ours without the median cutoffs (reloaded) and",
        "under its own gates, against the SVM of the published groups and of the right ones",
        "  H  C     N seed  published  reloaded       own       own",
        "                              published groups      right",
    ]
    collected = {True: [], False: []}  # by whether the gates are the published ones
    for record in sorted(
        where(ours.gln(models=("SVM-GLN",)), cutoff="median"),
        key=lambda r: [r[name] for name in names],
    ):
        its = ours.find("SVM-GLN published groups", record)
        pairs = (its, "GD-GLN reloaded"), (its, "GD-GLN"), (record["row"], "GD-GLN")
        shares = [inconsistency(svm, ours.find(network, record)) for svm, network in pairs]
        key = tuple(record[name] for name in names)
        if None in shares or key not in published:
            continue
        values = published[key], *(100 * share for share in shares)
        h, c, n, seed, _ = key
        collected[record["row"]["published_gates"]].append(((h, c, seed), values))
        if (h, c) == (10, 2):
            lines.append(f"{h:3d} {c:2d} {n:5d} {seed:4d} " + "".join(f"{v:10.1f}" for v in values))
    if not collected[True]:
        return Erratum(title, claim, [], UNCHECKED)
    for is_published, name in ((True, "published"), (False, "our own")):
        draws = {}
        for draw, values in collected[is_published]:
            draws.setdefault(draw, []).append(values)
        if draws:
            n_runs = len(collected[is_published])
            lines.append(
                f"mean on {name} gates, runs {n_runs}, draws {len(draws)}: "
                + "".join(f"{v:10.1f}" for v in means_of(collected[is_published]))
            )
        if len(draws) > 1:
            excess = [np.mean([v[1] - v[0] for v in values]) for values in draws.values()]
            mean, half = interval(excess)
            lines.append(
                f"reloaded less published, over these draws: {mean:.1f} +- {half:.1f} (95 %); the "
                "hyperplanes are not the published ones"
            )
    random = [
        (published[key], r["unlike"])
        for r in where(ours.gln(models=("SVM-GLN",)), cutoff="random")
        if (key := tuple(r[name] for name in names)) in published and r["unlike"] is not None
    ]
    if random:
        means = "".join(f"{v:10.1f}" for v in np.mean(random, axis=0))
        lines.append(
            f"mean of {len(random)} with random cutoffs (published; own, right groups): {means}"
        )
    theirs, reloaded, own, _ = means_of(collected[True])
    if not (own < theirs and abs(reloaded - theirs) < abs(own - theirs)):
        return Erratum(title, claim, lines, NOT_SEEN)
    verdict = (
        f"it is not, on the published gates: {theirs:.1f} % are published, ours differ on "
        f"{reloaded:.1f} % if the median cutoffs are left out for the network alone, and on "
        f"{own:.1f} % under the same gates"
    )
    if collected[False]:
        theirs, reloaded, own, _ = means_of(collected[False])
        verdict += (
            f"; on other draws of gates these are {theirs:.1f}, {reloaded:.1f} and {own:.1f} %"
        )
    return Erratum(title, claim, lines, verdict)


def means_of(collected):
    return np.mean([values for _, values in collected], axis=0)


VARIANTS = ("recipe", "no bias", "no bias, full batch", "accelerated", "accelerated, five starts")


def e5_bias_and_batches(results):
    """Inconsistency with and without bias and batches, and after longer training."""
    title = "E5: the published GD-GLN has an output bias and mini-batches, the theorem neither"
    claim = "the published GD-GLN is the network of Theorem 3.1"
    groups = {}
    for row in results.select(kind="length"):
        if "unlike" in row:
            key = row["n_units"], VARIANTS.index(row["variant"]), row["n_steps"]
            groups.setdefault(key, []).append(100 * row["unlike"])
    if not groups:
        return Erratum(title, claim, [], UNCHECKED)
    lines = ["unlike SVM-GLN [%], mean and standard deviation over seeds and, in (), their number"]
    found = {}
    for (width, variant, n_steps), values in sorted(groups.items()):
        if n_steps >= 3000:
            mean, sd = mean_sd(values)
            spread = f" +- {sd:.2f}" if len(values) > 1 else ""
            name = VARIANTS[variant]
            lines.append(
                f"H = {width:3d} {name:24s} {n_steps:6d} steps {mean:6.2f}{spread} ({len(values)})"
            )
            found.setdefault(width, {})[name, n_steps] = mean
    steps = (
        ("without bias", ("recipe", 3200), ("no bias", 3200)),
        ("with full batches instead", ("no bias", 3200), ("no bias, full batch", 3200)),
        ("trained to the limit instead", ("recipe", 3200), ("accelerated", 10_000)),
    )
    changes = [
        f"{means[after] - means[before]:+.2f} {what} (H = {width})"
        for what, before, after in steps
        for width, means in found.items()
        if before in means and after in means
    ]
    verdict = "it is not; points more or less unlike SVM-GLN: " + ", ".join(changes)
    return Erratum(title, claim, lines, verdict if changes else NOT_SEEN)


def e6_dead_units(results=None):
    X, _, y, _ = load_binary_digits(test_size=1597, random_state=0)
    X = with_constant(X)
    gates = HyperplaneGates(5, random_state=0).fit_transform(X)
    solution = max_margin(X, y, gates, tol=1e-8)
    solved(solution)
    lines, found = [], {}
    for factor in (1.0, 0.0):
        network = GatedNetwork.gln(X.shape[1], 5, random_state=0)
        first, last = network.layers
        first.weights[:, -1] *= factor  # into the last unit, of every context
        last.weights[..., -1] *= factor  # out of it
        trained(network, GradientDescent.accelerated(X, 10_000), X, y, gates)
        ratio = margin_ratio(network, solution, X, y, gates)
        residual = kkt_residual(network, X, y, gates)
        found[factor] = ratio, residual
        lines.append(
            f"last unit starts at {factor:.0f} times its size: margin ratio {ratio:.4f}, "
            f"residual of the KKT conditions {residual:.4f}"
        )
    ratio, residual = found[0.0]
    is_seen = residual < 0.01 and ratio < 0.99 < found[1.0][0]
    return Erratum(
        "E6: a stationary point of (6) need not be a minimum of (52)",
        "Prop. B.8: stationary points of (6) give minima of (52)",
        [
            "200 of the 8 x 8 digits, 5 units of 2 contexts, 10,000 steps of accelerated descent",
            *lines,
        ],
        "a unit that starts at zero stays there: the limit is stationary for (6), and its margin "
        f"is {ratio:.2f} of that of the optimum of (52)"
        if is_seen
        else NOT_SEEN,
    )


ERRATA = (
    e1_factor_of_the_norm,
    e2_root_of_the_l2_form,
    e3_groups,
    e4_reloaded_gates,
    e5_bias_and_batches,
    e6_dead_units,
)
