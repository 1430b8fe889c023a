"""The paper's experiments on a tiny grid of the bundled digits, and the machinery around them."""

import json

import numpy as np
import pytest

from examples.paper import example, experiments
from examples.paper.__main__ import main
from examples.paper.compare import by_draw, interval, paired, published_gln, published_relu
from examples.paper.data import in_published_groups
from examples.paper.errata import e1_factor_of_the_norm, e2_root_of_the_l2_form
from examples.paper.figures import FIGURES
from examples.paper.grid import QUICK, Grid, Task
from examples.paper.results import Results, inconsistency, pack, unpack
from examples.paper.runner import execute, run
from examples.paper.samples import DigitsSamples
from gnorm import HyperplaneGates, NotSeparableError, max_margin, norms

TINY = Grid(
    n_trains=(60,),
    widths=(3,),
    contexts=(2,),
    seeds=(1, 2),
    depths=(0, 2),
    more_seeds=(4,),
    more_widths=(6,),
    length_train=60,
    length_widths=(3,),
    sizes=(60, 120),
    size_width=3,
)


@pytest.fixture
def digits():
    """Inputs, labels and gates of 100 digits for training and 50 more."""
    samples = DigitsSamples()
    gates, _ = samples.gates(4, 2, "median", 1)
    return samples.X[:150], samples.y[:150], gates[:150], 100


def test_run_all_and_report(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("examples.paper.__main__.QUICK", TINY)
    monkeypatch.setattr("examples.paper.report.QUICK", TINY)
    monkeypatch.setitem(experiments.LENGTHS, "recipe", (200, 400))
    monkeypatch.setitem(experiments.LENGTHS, "accelerated", (100, 300))
    main(["run", "all", "--quick", "--no-progress", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "0 predictors failed" in printed
    assert all(f"E{i}: " in printed for i in range(1, 7))

    results = Results(tmp_path / "quick.jsonl")
    n_tasks = len(TINY.tasks("all"))
    assert len(results.records) == n_tasks
    solved = [row for row in results.rows if row.get("status") == "optimal"]
    assert solved
    assert max(row["gap"] for row in solved) <= experiments.TOL
    # what was run is not run again
    main(["run", "fig5", "--quick", "--no-progress", "--out", str(tmp_path)])
    assert "6 tasks, 0 of them run now" in capsys.readouterr().out

    some = {name: FIGURES[name] for name in ("fig1", "fig2", "fig3d", "lengths", "beyond")}
    monkeypatch.setattr("examples.paper.figures.FIGURES", some)  # the others take their time
    main(["report", "--quick", "--out", str(tmp_path)])
    page = (tmp_path / "report.md").read_text()
    assert f"| all | {n_tasks} | {n_tasks} |" in page
    for name in some:
        assert f"figures/{name}.png" in page
        assert (tmp_path / "figures" / f"{name}.png").stat().st_size > 5_000
        assert (tmp_path / "figures" / f"{name}.svg").stat().st_size > 5_000


def test_report_of_nothing(tmp_path, monkeypatch):
    some = {name: FIGURES[name] for name in ("fig2", "beyond")}
    monkeypatch.setattr("examples.paper.figures.FIGURES", some)
    main(["report", "--quick", "--out", str(tmp_path)])
    assert "| all | 0 |" in (tmp_path / "report.md").read_text()


def test_run_needs_data_or_quick(tmp_path):
    with pytest.raises(SystemExit):
        main(["run", "fig2", "--out", str(tmp_path)])


def test_grid_is_that_of_the_paper():
    tasks = Grid().tasks("fig4")
    svms = [task for task in tasks if task.kind == "svm"]
    assert len(svms) == 4 * 2 * 3 * 2 * 3  # H, C, N, cutoffs, seeds
    assert len(Grid().tasks("fig5")) == 4 * 3 * 3 * 3  # H, N, seeds; SVM-RC and two momenta
    costs = [task.cost for task in Grid().tasks("all")]
    assert costs == sorted(costs)
    assert len({task.key for task in tasks}) == len(tasks)
    with pytest.raises(ValueError, match="expected a figure, errata, beyond or all, got 'fig9'"):
        QUICK.tasks("fig9")


def test_results_survive_a_line_cut_short(tmp_path):
    path = tmp_path / "results.jsonl"
    tasks = TINY.tasks("fig2")[:3]
    results = Results(path)
    for task in tasks[:2]:
        results.append(execute(task, None))
    text = path.read_text()
    path.write_text(text[:-40])

    again = Results(path)
    assert [again.has(task) for task in tasks] == [True, False, False]
    assert run(tasks, again, None, progress=False) == 2
    assert all(Results(path).has(task) for task in tasks)


def test_two_processes_give_the_results_of_one(tmp_path):
    tasks = [task for task in TINY.tasks("fig4") if task.kind == "svm"]
    records = []
    for n_jobs in (1, 2):
        results = Results(tmp_path / f"{n_jobs}.jsonl")
        run(tasks, results, None, n_jobs, progress=False)
        records.append({task.key: results.records[task.key]["rows"] for task in tasks})
    for key, rows in records[0].items():
        for row, other in zip(rows, records[1][key], strict=True):
            assert row["signs"] == other["signs"]


def test_a_failure_is_recorded_and_stops_nothing(monkeypatch):
    def fail(*_):
        raise FloatingPointError("on purpose")

    monkeypatch.setitem(experiments.RIGHT, "SVM-L2", fail)
    rows = execute(Task("svm", 60, 3, 2, "median", 1), None)["rows"]
    assert [row.get("status") for row in rows] == ["optimal", "failed", "optimal"]
    assert rows[1]["reason"] == "FloatingPointError: on purpose"
    broken = execute(Task("svm", 60, 3, 3, "median", 1), None)["rows"]  # three contexts: no gates
    assert broken[0]["status"] == "failed"
    assert "power of two" in broken[0]["reason"]


def test_what_cannot_be_separated_keeps_its_residual():
    recorder = experiments.Recorder(np.array([1, -1, 1]), 2, slice(2, 3))
    X, gates = np.ones((3, 1)), np.ones((3, 1, 1), dtype=bool)
    recorder.add("SVM", lambda: experiments.svm(X, recorder.y, gates, 2))
    (row,) = recorder.rows
    assert row["status"] == "not separable"
    assert row["residual"] <= 1e-11
    assert row["n_involved"] == 2


def test_signs_are_kept_bit_by_bit():
    signs = np.random.default_rng(0).random(101) < 0.5
    np.testing.assert_array_equal(unpack(pack(signs), 101), signs)
    row = {"signs": pack(signs), "n_validation": 101}
    other = {"signs": pack(np.r_[~signs[:3], signs[3:]]), "n_validation": 101}
    assert inconsistency(row, other) == pytest.approx(3 / 101)
    assert inconsistency(row, {"status": "failed"}) is None
    json.dumps(row)


def test_plain_norm_is_that_of_all_weights_together(digits):
    X, y, gates, n = digits
    values, facts = experiments.svm_plain(X, y, gates, n)
    flat = (X[:, None, None, :] * gates[..., None]).reshape(len(X), -1)
    linear = max_margin(flat[:n], y[:n], np.ones((n, 1, 1), dtype=bool))
    np.testing.assert_allclose(facts["norm"], linear.norm, rtol=1e-5)
    always = np.ones((len(X), 1, 1), dtype=bool)
    np.testing.assert_allclose(values, linear.decision_values(flat, always), atol=5e-3)


def test_norm_of_23_in_the_right_groups(digits):
    """The kernel's norm is least among predictors with the same margins: compare by the matrix."""
    X, y, gates, n = digits
    values, facts = experiments.svm_l2_of_23(X, y, gates, n)
    assert np.min(y[:n] * values[:n]) > 1 - 1e-4
    A = experiments.matrix_of_23(4, 2)
    for zeta in (max_margin(X[:n], y[:n], gates[:n]).zeta,):
        cost = np.linalg.norm(A @ zeta.reshape(8, -1))
        assert facts["norm"] <= cost * (1 + 1e-6)
    # the same by the pseudo-inverse of A^2 on flat indices
    flat = gates.reshape(len(gates), -1).astype(float)
    kernel = (X @ X[:n].T) * (flat @ np.linalg.pinv(A @ A) @ flat[:n].T)
    other, more = experiments.quadratic(kernel, y, n)
    np.testing.assert_allclose(more["norm"], facts["norm"], rtol=1e-5)
    np.testing.assert_allclose(other, values, atol=1e-2)


def test_l2_is_least_in_its_norm(digits):
    X, y, gates, n = digits
    _, l2 = experiments.svm_l2(X, y, gates, n)
    zeta = max_margin(X[:n], y[:n], gates[:n]).zeta
    _, gln = experiments.svm(X, y, gates, n)
    assert l2["norm"] <= norms.predictor_rms_norm(zeta) * (1 + 1e-6)
    assert gln["norm"] <= l2["gln_norm"] * (1 + 1e-6)


def test_one_unit_has_no_wrong_groups(digits):
    one = digits[2][:, :1]
    np.testing.assert_array_equal(in_published_groups(one), one)


def test_shallow_regions(digits):
    X, y, gates, n = digits
    values, facts = experiments.svm_shallow(X, y, gates[:, :2], n)
    assert facts["n_regions"] == 4
    regions = gates[:, 0, 1] * 2 + gates[:, 1, 1]
    solution = max_margin(X[:n], y[:n], (regions[:n, None] == np.arange(4))[:, None])
    np.testing.assert_allclose(facts["norm"], solution.norm, rtol=1e-5)
    assert np.all(np.isfinite(values))


def test_hyperplanes_of_a_seed_do_not_depend_on_the_cutoff():
    """The comparison of erratum E4 needs the same hyperplanes with other cutoffs."""
    X = np.random.default_rng(0).normal(size=(30, 5))
    median, random = (HyperplaneGates(3, cutoff=c, random_state=1).fit(X) for c in
                      ("median", "random"))  # fmt: skip
    np.testing.assert_array_equal(median.hyperplanes_, random.hyperplanes_)


def test_published_tables():
    gln, relu = list(published_gln()), list(published_relu())
    assert sum(r["model"] == "SVM-GLN" for r in gln) == 135
    missing = [r["model"] for r in relu if r["error"] is None]
    assert (missing.count("SVM-LC"), missing.count("SVM-HL")) == (16, 22)
    # all machines on 108 networks of momentum 0 and 0.9, or 36 a momentum for each of three
    assert sum(r["model"] != "GD-ReLU" for r in relu) == 3 * 72 - 31


def test_pairs_and_intervals():
    config = {"n_units": 3, "n_contexts": 2, "cutoff": "median", "momentum": 0.0}
    records = [
        {**config, "n_train": n, "seed": seed, "model": model, "error": error}
        for model, shift in (("a", 1.0), ("b", 0.0))
        for n, error in ((10, shift), (20, 3 * shift))
        for seed in (1, 2)
    ]
    differences = paired(records, "a", "b")
    assert len(differences) == 4
    assert by_draw(differences) == [2.0, 2.0]
    mean, half = interval([1.0, 2.0, 3.0])
    assert (mean, round(half, 3)) == (2.0, 2.484)  # 4.303 / sqrt(3)


def test_errata_that_need_no_results():
    assert "1.414214 to 1.414214" in e1_factor_of_the_norm().text
    assert "deviations weigh 40 times too much (C^2 H = 40)" in e2_root_of_the_l2_form().text


def test_example_of_figure_1():
    _, _, found = example.solve()
    gln, l2 = found["SVM-GLN"], found["SVM-L2"]
    assert norms.gln_norm(gln) < norms.gln_norm(l2)
    assert norms.predictor_l2_norm(l2) < norms.predictor_l2_norm(gln)


def test_hidden_layer_that_hardly_separates():
    """Features of very different scale; two samples that no unit tells apart, then none."""
    rng = np.random.default_rng(0)
    hidden = np.column_stack([rng.random((40, 3)) * [100.0, 1.0, 0.01], np.ones(40)])
    y = np.where(hidden @ [0.01, 1.0, 100.0, -1.5] > 0, 1, -1)
    values, _ = experiments.svm_hidden(hidden, y, 40)
    assert np.all(y * values > 0)
    hidden[1], y[:2] = hidden[0], (1, -1)
    with pytest.raises(NotSeparableError) as raised:
        experiments.svm_hidden(hidden, y, 40)
    certificate = raised.value.certificate
    assert np.all(certificate >= 0)
    assert certificate.sum() == pytest.approx(1)
    np.testing.assert_allclose((y * certificate) @ hidden, 0, atol=1e-10)
