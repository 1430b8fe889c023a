"""The record of a run: columns, tables and files."""

import csv
import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gnorm.descent import GatedNetwork, GradientDescent, History, Stop

N, D = 10, 3


def a_run(callback=None, network=None, activations=None, **descent):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D))
    if network is None:
        network = GatedNetwork.gln(D, 2, 2, random_state=0)
        activations = rng.integers(2, size=(N, 2))[:, :, None] == np.arange(2)
    y = np.where(X[:, 0] > 0, 1, -1)
    return GradientDescent(0.1, max_steps=8, callback=callback, **descent).train(
        network, X, y, activations
    )


def test_columns_have_a_row_for_every_logged_step():
    history = a_run()
    assert len(history) == 9
    assert history.names == [
        "step",
        "loss",
        "log_loss",
        "min_margin",
        "smoothed_margin",
        "squared_norm",
        "layer_norms",
        "unit_balance",
    ]
    assert_array_equal(history.step, np.arange(9))
    assert_array_equal(history.loss, history["loss"])
    assert history["layer_norms"].shape == (9, 2)
    assert history["unit_balance"].shape == (9, 2)
    assert list(history.columns) == history.names
    for name, column in history.columns.items():
        assert_array_equal(column, history[name])
        assert_array_equal(column, [row[name] for row in history.rows])


def test_a_column_that_is_not_there():
    with pytest.raises(KeyError, match=r"expected one of the columns \['step', .* got 'accuracy'"):
        a_run()["accuracy"]


def test_repr_says_how_it_ended():
    assert repr(a_run()) == "History(8 steps, 9 rows, max_steps)"


def test_an_empty_history():
    history = History()
    assert len(history) == 0
    assert history.names == []
    assert history.columns == {}
    assert history.step.shape == history.loss.shape == (0,)
    assert repr(history) == "History(0 steps, 0 rows, max_steps)"


# -- files -----------------------------------------------------------------------------------------


def test_csv_has_a_column_for_every_entry(tmp_path):
    history = a_run(
        lambda step, network: {"pair": np.array([step, -step]), "label": f"step {step}"}
    )
    history.to_csv(tmp_path / "run.csv")
    with open(tmp_path / "run.csv", newline="") as file:
        names, *rows = csv.reader(file)
    assert names == [
        *history.names[:6],
        *("layer_norms_0", "layer_norms_1", "unit_balance_0", "unit_balance_1"),
        *("pair_0", "pair_1", "label"),
    ]
    assert len(rows) == 9
    table = dict(zip(names, zip(*rows, strict=True), strict=True))
    assert_array_equal(np.array(table["loss"], dtype=float), history.loss)  # to the last digit
    assert_array_equal(
        np.array(table["unit_balance_1"], dtype=float), history["unit_balance"][:, 1]
    )
    assert_array_equal(np.array(table["pair_1"], dtype=int), -history.step)
    assert table["step"][:3] == ("0", "1", "2")
    assert table["label"][3] == "step 3"


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("convert", [str, lambda path: path], ids=["str", "path"])
def test_files_keep_everything(batch_size, convert, tmp_path):
    history = a_run(
        lambda step, network: {"a/b": step / 2, "name": "x", "matrix": np.full((2, 3), step)},
        batch_size=batch_size,
        random_state=0,
    )
    path = convert(tmp_path / "run.npz")
    history.save(path)
    again = History.load(path)
    assert again.names == history.names
    for name in history.names:
        assert again[name].dtype == history[name].dtype
        assert_array_equal(again[name], history[name])
    assert again.state.keys() == history.state.keys()
    for name, array in history.state.items():
        assert_array_equal(again.state[name], array)
    assert (again.n_steps, again.stop) == (8, Stop.MAX_STEPS)
    assert_array_equal(again["a/b"], np.arange(9) / 2)


@pytest.mark.parametrize("stop", Stop)
def test_files_keep_why_the_run_ended(stop, tmp_path):
    History(stop=stop, n_steps=3).save(tmp_path / "run.npz")
    again = History.load(tmp_path / "run.npz")
    assert (again.stop, again.n_steps, again.rows) == (stop, 3, [])


def test_a_network_without_hidden_units_has_an_empty_balance(tmp_path):
    network = GatedNetwork.shallow_gln(D, 2, random_state=0)
    activations = np.arange(N)[:, None, None] % 2 == np.arange(2)
    history = a_run(network=network, activations=activations)
    assert history["unit_balance"].shape == (9, 0)
    history.save(tmp_path / "run.npz")
    assert History.load(tmp_path / "run.npz")["unit_balance"].shape == (9, 0)
    history.to_csv(tmp_path / "run.csv")
    header = (tmp_path / "run.csv").read_text().splitlines()[0]
    assert header.endswith("squared_norm,layer_norms_0")


def write_text(path):
    path.write_text("step,loss\n0,1.0\n")


def write_array(path):
    with open(path, "wb") as file:
        np.save(file, np.ones(3))


def write_arrays(path):
    with open(path, "wb") as file:
        np.savez(file, about_it=np.array(json.dumps({})))


@pytest.mark.parametrize("write", [write_text, write_array, write_arrays])
def test_files_that_save_did_not_write(write, tmp_path):
    write(tmp_path / "run.npz")
    with pytest.raises(ValueError, match=r"expected a file that History\.save wrote"):
        History.load(tmp_path / "run.npz")


def test_names_without_suffix_and_files_that_are_not_there(tmp_path):
    network = GatedNetwork.shallow_gln(1, 1, random_state=0)
    gates = np.ones((2, 1, 1), dtype=bool)
    history = GradientDescent(0.1, max_steps=3).train(network, [[1.0], [-1.0]], [1, -1], gates)
    history.save(tmp_path / "run")
    assert_array_equal(History.load(tmp_path / "run").loss, history.loss)
    with pytest.raises(FileNotFoundError):
        History.load(tmp_path / "other")


# -- damaged files ---------------------------------------------------------------------------------

UNREADABLE = r"expected a file that History\.save wrote"


@pytest.fixture
def written(tmp_path):
    history = History(
        rows=[{"step": 0, "loss": 1.0}, {"step": 1, "loss": 0.5}],
        state={"w": np.arange(3.0)},
        n_steps=1,
    )
    history.save(tmp_path / "run.npz")
    return tmp_path / "run.npz"


def test_files_cut_short(written):
    data = written.read_bytes()
    for length in range(0, len(data), 41):
        written.write_bytes(data[:length])
        with pytest.raises(ValueError, match=UNREADABLE):
            History.load(written)


@pytest.mark.parametrize("flipped", [0x01, 0x80, 0xFF])
def test_files_with_a_byte_that_changed(flipped, written):
    data, before = written.read_bytes(), History.load(written)
    for position in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[position] ^= flipped
        written.write_bytes(damaged)
        try:
            after = History.load(written)
        except ValueError:
            continue
        # what zip files say of themselves twice, dates and the like: nothing of the history is lost
        assert after.rows == before.rows
        assert after.n_steps == before.n_steps
        assert_array_equal(after.state["w"], before.state["w"])


ABOUT = {"stop": "max_steps", "n_steps": 3}


@pytest.mark.parametrize(
    "about",
    [
        [],
        None,
        {},
        {"stop": "max_steps"},
        {"n_steps": 3},
        ABOUT | {"stop": "because"},
        ABOUT | {"stop": None},
        ABOUT | {"n_steps": -1},
        ABOUT | {"n_steps": 1.5},
        ABOUT | {"n_steps": "3"},
        ABOUT | {"n_steps": True},
        ABOUT | {"n_steps": None},
    ],
)
def test_files_that_say_the_wrong_things_of_themselves(about, tmp_path):
    np.savez(tmp_path / "run.npz", about=np.array(json.dumps(about)))
    with pytest.raises(ValueError, match=UNREADABLE):
        History.load(tmp_path / "run.npz")


@pytest.mark.parametrize(
    "arrays",
    [
        {"column/step": np.arange(3), "column/loss": np.ones(2)},
        {"column/step": np.array(3)},
        {"column/step": np.array([1, 2], dtype=object)},
        {"about": np.array("{not json")},
        {"about": np.arange(3)},
        {"elsewhere": np.ones(2)},
    ],
)
def test_files_with_the_wrong_arrays(arrays, tmp_path):
    np.savez(tmp_path / "run.npz", **{"about": np.array(json.dumps(ABOUT))} | arrays)
    with pytest.raises(ValueError, match=UNREADABLE):
        History.load(tmp_path / "run.npz")
