"""Fits in threads that switch all the time, that are interrupted, and that are killed."""

import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning

import gnorm

REPOSITORY = Path(__file__).parents[2]
X, Y = make_blobs(90, 3, centers=4, cluster_std=3.0, random_state=0)
KINDS = ["GLNNormSVC", "FReLUSVC", "GatedL2SVC", "ShallowGLNSVC", "GLNNormSVCCV"]


@pytest.fixture
def switching():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def a_fit(kind, n_jobs, **params):
    units = {} if kind == "ShallowGLNSVC" else {"n_units": 4}
    grid = {"Cs": [0.1, 1.0], "cv": 3} if kind.endswith("CV") else {}
    model = getattr(gnorm, kind)(random_state=0, n_jobs=n_jobs, **units, **grid, **params)
    return model.fit(X, Y)


@pytest.mark.parametrize("kind", KINDS)
def test_threads_give_the_results_of_one(kind, switching):
    alone = a_fit(kind, None)
    for _ in range(2):
        together = a_fit(kind, 6)
        np.testing.assert_allclose(together.zeta_, alone.zeta_, rtol=0, atol=1e-6)
        np.testing.assert_allclose(together.norm_, alone.norm_, rtol=1e-6)
        assert np.all(together.duality_gap_ <= together.tol)


def test_fits_side_by_side_leave_nothing_behind(switching):
    filters = list(warnings.filters)
    expected = a_fit("GLNNormSVC", None).zeta_
    with ThreadPoolExecutor(6) as pool:
        fits = [pool.submit(a_fit, "GLNNormSVC", 3) for _ in range(6)]
    for fit in fits:
        np.testing.assert_allclose(fit.result().zeta_, expected, rtol=0, atol=1e-6)
    # scikit-learn's checks may leave theirs behind, where threads of a user overlap in them
    left = {category for _, _, category, _, _ in set(warnings.filters) - set(filters)}
    assert {category.__name__ for category in left} <= {
        "ComplexWarning",
        "VisibleDeprecationWarning",
    }
    with pytest.warns(ConvergenceWarning):
        a_fit("GLNNormSVC", None, max_iter=1)


SCRIPT = """
import pickle, sys, warnings
import numpy as np
import gnorm
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X = rng.normal(size=(1500, 60))
y = np.where(rng.random(1500) < 0.5, 1, -1)
print("ready", flush=True)
for seed in range(100):
    model = gnorm.GLNNormSVC(30, C=100.0, tol=1e-12, random_state=seed, n_jobs=2).fit(X, y)
    pickle.dump((seed, model.zeta_, model.duality_gap_), sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""


def a_process():
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("wait", [0.05, 0.3, 1.0, 2.0])
def test_ctrl_c_returns_a_solution_or_ends_cleanly(wait):
    process = a_process()
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.kill()
    out, said = process.communicate(timeout=60)
    assert b"Segmentation" not in said
    assert b"Traceback" not in said or b"KeyboardInterrupt" in said
    if out:
        _, zeta, gap = pickle.loads(out)
        assert np.all(np.isfinite(zeta))
        assert gap[0] >= 0


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("wait", [0.1, 1.0])
def test_a_killed_fit_takes_nothing_with_it(wait, tmp_path):
    process = a_process()
    time.sleep(wait)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert np.all(a_fit("GLNNormSVC", 2).duality_gap_ <= 1e-4)  # the next one is as ever
