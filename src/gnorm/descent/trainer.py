r"""Gradient descent, with momentum or without, on full batches or on small ones."""

from __future__ import annotations

import math
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, check_random_state
from tqdm import tqdm

from gnorm.descent.history import History, Stop
from gnorm.descent.losses import ExponentialLike
from gnorm.descent.network import Activations, Network
from gnorm.descent.objective import MarginLoss, Objective, check_loss
from gnorm.descent.schedules import (
    Constant,
    MarginGrowth,
    Normalized,
    RisingMomentum,
    Schedule,
)
from gnorm.gated import FloatArray

__all__ = ["DivergenceError", "GradientDescent"]

Momentum: TypeAlias = float | Callable[[int], float]
Callback: TypeAlias = Callable[[int, Any], dict[str, Any] | None]

_ROWS_PER_DECADE = 20  # of a history with geometrically spaced rows


class DivergenceError(ArithmeticError):
    """The loss of a training run was no longer finite.

    Attributes
    ----------
    history : History
        The run up to that step; its state holds the weights that have no finite loss.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.history)


class GradientDescent:
    r"""Gradient descent with optional momentum, batches and rescaling.

    .. math:: v \leftarrow m \, v - \eta \, \nabla L(w), \qquad w \leftarrow w + v

    Parameters
    ----------
    schedule : float or Schedule, default=0.01
        Rates :math:`\eta_k`: a constant, or one of :class:`Constant`, :class:`Steps`,
        :class:`Decaying`, :class:`Normalized`.
    loss : {"logistic", "exponential"} or ExponentialLike, default="logistic"
        Loss of a margin, for :meth:`train`.
    momentum : float or callable, default=0.0
        Momentum m in [0, 1), or a function of the step such as :class:`RisingMomentum`.
    nesterov : bool, default=False
        Look ahead: :math:`w \leftarrow w + m v - \eta \nabla L(w)` with the new v.
    batch_size : int, default=None
        Samples of a step, drawn without repetition until all were seen, the last batch of a pass
        as large as what is left; None takes all.
    max_steps : int, default=1000
        Steps of a run in all, those before it was resumed included.
    weight_decay : float, default=0.0
        Weight :math:`\lambda` of :math:`\frac{\lambda}{2} \|w\|^2`, added to the loss. Not with
        :class:`Normalized`, under which the loss has no fixed scale.
    preconditioner : sequence of array-like of shape (n_in, n_in) or None, default=None
        Symmetric positive definite matrix :math:`A_l` of each layer, None for the identity: the
        step goes along :math:`\nabla L \, A_l`, the gradient in the metric
        :math:`\operatorname{tr}(Z_1 A_l^{-1} Z_2^\top)`. The limit is then a max-margin solution
        in that metric.
    rescaling : MarginGrowth, default=None
        Rule by which the weights are rescaled after every step; None leaves them. Only for
        homogeneous networks, whose direction it does not change.
    log_every : int, default=None
        Steps between rows of the history; None spaces them geometrically, about 20 a decade, so
        that the history does not grow with the length of the run.
    callback : callable, default=None
        Called as ``callback(step, network)`` for every row; the dict of numbers, strings and
        arrays that it returns, if any, is added to the row. It must return the same names each
        time. Raising KeyboardInterrupt in it ends the run as an interrupt from the keyboard does.
    progress : bool, default=False
        Whether to show a progress bar.
    random_state : int, RandomState instance or None, default=None
        Draws the batches.

    Examples
    --------
    >>> import numpy as np
    >>> from gnorm import max_margin
    >>> from gnorm.descent import GatedNetwork, GradientDescent, Normalized
    >>> X = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    >>> y = np.array([1, -1, 1, -1])
    >>> activations = np.stack([X[:, 0] < 0, X[:, 0] >= 0], axis=-1)[:, None, :]
    >>> network = GatedNetwork.gln(n_features=2, n_units=1, random_state=0)
    >>> descent = GradientDescent(Normalized(0.05), max_steps=500)
    >>> history = descent.train(network, X, y, activations)
    >>> norm = max_margin(X, y, activations).norm
    >>> ratio = history["min_margin"][-1] / history["squared_norm"][-1] * 2 * norm
    >>> bool(ratio > 0.999)
    True
    """

    def __init__(
        self,
        schedule: float | Schedule = 0.01,
        *,
        loss: str | ExponentialLike = "logistic",
        momentum: Momentum = 0.0,
        nesterov: bool = False,
        batch_size: int | None = None,
        max_steps: int = 1000,
        weight_decay: float = 0.0,
        preconditioner: Sequence[ArrayLike | None] | None = None,
        rescaling: MarginGrowth | None = None,
        log_every: int | None = None,
        callback: Callback | None = None,
        progress: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.schedule: Schedule = schedule if isinstance(schedule, Schedule) else Constant(schedule)
        self.loss = check_loss(loss)
        if not callable(momentum) and not 0 <= momentum < 1:
            raise ValueError(f"expected 0 <= momentum < 1, got {momentum}")
        self.momentum = momentum
        self.nesterov = nesterov
        self.batch_size = None if batch_size is None else _check_count(batch_size, "batch_size")
        self.max_steps = _check_count(max_steps, "max_steps")
        if not 0 <= weight_decay < math.inf:
            raise ValueError(f"expected a finite weight_decay >= 0, got {weight_decay!r}")
        if weight_decay and isinstance(self.schedule, Normalized):
            raise ValueError(
                "expected weight_decay=0 with a Normalized schedule, whose loss has "
                f"no fixed scale, got {weight_decay}"
            )
        self.weight_decay = float(weight_decay)
        self.preconditioner = preconditioner
        if rescaling is not None and not isinstance(rescaling, MarginGrowth):
            raise ValueError(f"expected rescaling to be a MarginGrowth or None, got {rescaling!r}")
        if rescaling is not None and batch_size is not None:
            raise ValueError(
                "expected batch_size=None with rescaling, which goes by the smallest margin of all "
                f"samples, got {batch_size}"
            )
        self.rescaling = rescaling
        self.log_every = None if log_every is None else _check_count(log_every, "log_every")
        self.callback = callback
        self.progress = progress
        self.random_state = random_state

    @classmethod
    def accelerated(
        cls, X: ArrayLike, n_steps: int = 10_000, *, last: float = 2e4, **options: Any
    ) -> Self:
        r"""Full-batch descent that gets close to the limit of training in thousands of steps.

        Nesterov's method with the rate :math:`4 / (R^2 s^{2(L-1)})`, :math:`R = \max_n \|x_n\|`,
        along :math:`-\nabla \log \mathcal{L}`, while the weights are rescaled so that the smallest
        margin grows from 1 to `last`. Where plain descent is slow the sizes of the units are not
        right yet: their shares of the norm move only while the margin is small, so that rates
        that follow the growing weights leave them a power of the number of steps, and growth that
        is told to be slow leaves them all the time there is. The 4 was found by trial: it is a
        multiple of the bound that :class:`Normalized` states.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Inputs that will be trained on; only their largest norm matters. With a preconditioner A
            of the first layer, these times the square root of A.
        n_steps : int, default=10_000
            Steps of the run. Too few for the problem leave the shares of small units wrong.
        last : float, default=2e4
            Smallest margin at the end; the largest normalised margin is missed by about one part
            in that.
        **options
            Other options of :class:`GradientDescent`.

        Returns
        -------
        GradientDescent
            The trainer.
        """
        lengths = np.linalg.norm(check_array(X, dtype=np.float64, input_name="X"), axis=1)
        largest = float(lengths.max())
        if largest == 0:
            raise ValueError("expected inputs that are not all zero, got zeros only")
        settings: dict[str, Any] = {
            "schedule": Normalized(4.0 / largest**2, scale="network"),
            "momentum": RisingMomentum(limit=1.0, delay=4.0),
            "nesterov": True,
            "max_steps": n_steps,
            "rescaling": MarginGrowth(n_steps, last=last),
        }
        return cls(**(settings | options))

    def train(
        self,
        network: Network,
        X: ArrayLike,
        y: ArrayLike,
        activations: Activations = None,
        *,
        history: History | None = None,
    ) -> History:
        r"""Train a network in place on the mean loss of its margins.

        Parameters
        ----------
        network : Network
            Network to train; its weights change.
        X : array-like of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,)
            Labels -1 and 1.
        activations : array-like of bool, shape (n_samples, n_units, n_contexts), or list of them
            Open gates of the layers with fixed gates; None if there are none.
        history : History, default=None
            A run to resume: weights, momentum and batches go on from its state as if it had not
            been stopped. It is not changed.

        Returns
        -------
        History
            Measurements along the run; unless it was interrupted, the last row is that of the
            trained network.

        Raises
        ------
        DivergenceError
            If the loss is no longer finite; carries the history.
        ValueError
            If inputs, labels, activations, or a history to resume do not fit the network.

        Warns
        -----
        UserWarning
            If the run is interrupted from the keyboard; the history holds what was reached. A
            second interrupt within a step is obeyed at once, and leaves none. Also if the loss ends
            above where it began, or a run with rescaling before all samples are on the right side.
        """
        objective = MarginLoss(network, X, y, activations, self.loss)
        return self._descend(objective, network, history)

    def minimize(self, objective: Objective, *, history: History | None = None) -> History:
        """Descend on an objective in place.

        Parameters
        ----------
        objective : Objective
            What to minimise, for instance a :class:`MatrixFactorization`.
        history : History, default=None
            A run to resume, see :meth:`train`.

        Returns
        -------
        History
            Measurements along the run.

        Raises
        ------
        DivergenceError
            If the loss is no longer finite; carries the history.
        ValueError
            If a history to resume does not fit the objective.

        Warns
        -----
        UserWarning
            If the run is interrupted from the keyboard.
        """
        return self._descend(objective, objective, history)

    def _descend(self, objective: Objective, subject: Any, history: History | None) -> History:
        run = _Run(self, objective, subject, history)
        with np.errstate(over="ignore", invalid="ignore"), _deferred_interrupt() as interrupt:
            result = run.descend(interrupt)
        if (doubt := _doubt(result, self.rescaling)) is not None:
            warnings.warn(doubt, stacklevel=3)
        if result.stop is Stop.INTERRUPTED:
            warnings.warn(
                f"training was interrupted after {result.n_steps} of {self.max_steps} steps; "
                "pass the history on to resume it",
                stacklevel=3,  # the caller of train or minimize
            )
        return result


class _Run:
    """One run: the parameters, the momentum and the batches, as they move."""

    def __init__(
        self, descent: GradientDescent, objective: Objective, subject: Any, history: History | None
    ) -> None:
        self.descent, self.objective, self.subject = descent, objective, subject
        if descent.rescaling is not None and objective.degree is None:
            raise ValueError(
                "expected a homogeneous network for rescaling, which keeps its direction, got one "
                "with a bias or an objective without margins"
            )
        self.degree = objective.degree or 1
        self.metric = _Metric(descent.preconditioner, objective.weights)
        self.batches = _Batches(objective.n_samples, descent.batch_size, descent.random_state)
        self.velocity = np.zeros_like(objective.parameters)
        self.gradient = np.empty_like(objective.parameters)
        self.step = 0
        self.history = History()
        if history is not None:
            self._resume(history)

    def _resume(self, history: History) -> None:
        if not isinstance(history, History):
            raise ValueError(f"expected a History to resume, got {type(history).__name__}")
        if history.stop is Stop.DIVERGED:
            raise ValueError("expected a history of a run that did not diverge, got one that did")
        shape = self.objective.parameters.shape
        got = history.state["parameters"].shape if history.state else None
        if got != shape:
            raise ValueError(f"expected a history with a state of {shape[0]} parameters, got {got}")
        self.batches.restore(history.state)
        self.objective.parameters[:] = history.state["parameters"]
        self.velocity[:] = history.state["velocity"]
        self.step = history.n_steps
        # the row of the present step is written again if it is due
        self.history.rows = [row for row in history.rows if row["step"] < self.step]

    def _is_logged(self, step: int) -> bool:
        if self.descent.log_every is not None:
            return step % self.descent.log_every == 0
        if step < _ROWS_PER_DECADE // 2:
            return True
        # whether a point of the geometric grid falls into (step - 1, step]
        return math.floor(_ROWS_PER_DECADE * math.log10(step)) > math.floor(
            _ROWS_PER_DECADE * math.log10(step - 1)
        )

    def descend(self, interrupt: threading.Event) -> History:
        descent = self.descent
        bar = tqdm(
            total=descent.max_steps, initial=self.step, disable=not descent.progress, unit="step"
        )
        stop = Stop.MAX_STEPS
        with bar:
            while self.step < descent.max_steps and stop is Stop.MAX_STEPS:
                if self._is_logged(self.step) and not self._log(bar):
                    stop = Stop.INTERRUPTED
                elif not self._advance():
                    stop = Stop.DIVERGED
                elif interrupt.is_set():
                    stop = Stop.INTERRUPTED
                bar.update(self.step - bar.n)
            if stop is Stop.MAX_STEPS and (not self._log(bar) or interrupt.is_set()):
                stop = Stop.INTERRUPTED
            if stop is Stop.MAX_STEPS and not math.isfinite(self.history.rows[-1]["loss"]):
                stop = Stop.DIVERGED
        return self._end(stop)

    def _advance(self) -> bool:
        """Take a step, or return False where the loss or its gradient is not finite."""
        descent, parameters = self.descent, self.objective.parameters
        log_scale, min_margin = self.objective.gradient(self.batches.next(), self.gradient)
        if not math.isfinite(log_scale):
            return False
        factor = descent.schedule.multiplier(self.step, log_scale, self.objective.weights)
        if not math.isfinite(factor):
            return False
        self.gradient *= -factor
        if descent.weight_decay:
            rate = descent.schedule.rate(self.step)
            self.gradient -= rate * descent.weight_decay * parameters
        self.metric.apply(self.gradient)
        momentum = descent.momentum(self.step) if callable(descent.momentum) else descent.momentum
        if not 0 <= momentum <= 1:
            raise ValueError(f"expected momenta from 0 to 1, got {momentum} in step {self.step}")
        self.velocity *= momentum
        self.velocity += self.gradient
        if descent.nesterov:
            self.gradient += momentum * self.velocity
            parameters += self.gradient
        else:
            parameters += self.velocity
        if descent.rescaling is not None:
            scale = descent.rescaling.factor(self.step, min_margin, self.degree)
            parameters *= scale
            self.velocity *= scale
        self.step += 1
        return True

    def _log(self, bar: Any) -> bool:
        """Add a row to the history, or return False if the callback was interrupted."""
        row: dict[str, Any] = {"step": self.step, **self.objective.measure()}
        if self.descent.callback is not None:
            try:
                added = self.descent.callback(self.step, self.subject)
            except KeyboardInterrupt:
                return False
            row |= _checked_columns(added, row)
        names = self.history.names or list(row)
        if list(row) != names:
            raise ValueError(
                "expected the callback to return the same names in every row, "
                f"{names} in all, got {list(row)}"
            )
        self.history.rows.append(row)
        bar.set_postfix(loss=f"{row['loss']:.3g}", refresh=False)
        return True

    def _end(self, stop: Stop) -> History:
        history = self.history
        history.stop, history.n_steps = stop, self.step
        history.state = {
            "parameters": self.objective.parameters.copy(),
            "velocity": self.velocity.copy(),
            **self.batches.state(),
        }
        if stop is Stop.DIVERGED:
            # a row of the weights without a finite loss tells nothing
            history.rows = [row for row in history.rows if row["step"] < self.step]
            raise DivergenceError(
                f"training diverged: the loss is too large after {self.step} steps; expected a "
                f"smaller rate or momentum, got {self.descent.schedule} and "
                f"momentum={self.descent.momentum}",
                history,
            )
        return history


def _doubt(history: History, rescaling: MarginGrowth | None) -> str | None:
    """Say what is odd about a run that took all its steps; None if nothing is."""
    if history.stop is not Stop.MAX_STEPS or len(history) < 2:
        return None
    first, last = history.rows[0], history.rows[-1]
    name = "log_loss" if "log_loss" in last else "loss"
    if last[name] > first[name]:
        return (
            f"training ended at a higher loss than it began with ({name} {last[name]:.3g} against "
            f"{first[name]:.3g}); expected a smaller rate or momentum"
        )
    if rescaling is not None and not last["min_margin"] > 0:
        return (
            f"training ended with samples on the wrong side (smallest margin "
            f"{last['min_margin']:.3g}), so that the margin did not grow; expected more steps, or "
            "samples that the network can separate"
        )
    return None


def _checked_columns(added: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Return what a callback adds to a row."""
    if added is None:
        return {}
    if not isinstance(added, dict):
        raise TypeError(
            f"expected the callback to return a dict or None, got {type(added).__name__}"
        )
    for name, value in added.items():
        if np.asarray(value).dtype.kind == "O":  # could not be saved
            raise TypeError(
                f"expected numbers, strings or arrays of them from the callback, got {value!r} "
                f"as {name!r}"
            )
    taken = added.keys() & row.keys()
    if taken:
        raise ValueError(
            f"expected the callback to return names other than {list(row)}, got {sorted(taken)}"
        )
    return added


class _Metric:
    """Preconditioner of the gradient, one matrix a layer."""

    def __init__(
        self, matrices: Sequence[ArrayLike | None] | None, weights: list[FloatArray]
    ) -> None:
        given = [None] * len(weights) if matrices is None else list(matrices)
        if len(given) != len(weights):
            raise ValueError(
                f"expected a preconditioner for each of {len(weights)} layers, got {len(given)}"
            )
        self.parts: list[tuple[slice, FloatArray]] = []
        start = 0
        for i, (A, W) in enumerate(zip(given, weights, strict=True)):
            if A is not None:
                A = np.asarray(A, dtype=float)
                n_in = W.shape[2]
                if A.shape != (n_in, n_in):
                    raise ValueError(
                        f"expected the preconditioner of layer {i} to have shape "
                        f"({n_in}, {n_in}), got {A.shape}"
                    )
                is_symmetric = np.allclose(A, A.T, rtol=1e-10, atol=0.0)
                if not is_symmetric or np.linalg.eigvalsh(A)[0] <= 0:
                    raise ValueError(
                        f"expected the preconditioner of layer {i} to be symmetric and positive "
                        "definite, got one that is not"
                    )
                self.parts.append((slice(start, start + W.size), A))
            start += W.size

    def apply(self, gradient: FloatArray) -> None:
        for part, A in self.parts:
            gradient[part] = (gradient[part].reshape(-1, len(A)) @ A).ravel()


class _Batches:
    """Random passes over the samples, in batches; the order of a pass is part of the state."""

    def __init__(
        self,
        n_samples: int,
        batch_size: int | None,
        random_state: int | np.random.RandomState | None,
    ) -> None:
        self.size = n_samples if batch_size is None else min(batch_size, n_samples)
        self.is_full = batch_size is None
        self.rng = check_random_state(random_state)
        if not isinstance(self.rng.get_state(legacy=True), tuple):
            raise ValueError("expected a RandomState of the Mersenne Twister, got another one")
        self.order = np.empty(0, dtype=np.intp) if self.is_full else np.arange(n_samples)
        self.position = n_samples

    def next(self) -> NDArray[np.intp] | None:
        if self.is_full:
            return None
        if self.position >= len(self.order):
            self.order = self.rng.permutation(len(self.order))
            self.position = 0
        rows = self.order[self.position : self.position + self.size]
        self.position += self.size
        return rows

    def state(self) -> dict[str, NDArray[Any]]:
        _, keys, place, has_gauss, gauss = self.rng.get_state(legacy=True)
        return {
            "order": self.order,
            "position": np.array(self.position),
            "random_keys": keys,
            "random_rest": np.array([place, has_gauss, gauss], dtype=float),
        }

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        if len(state["order"]) != len(self.order):
            raise ValueError(
                f"expected a history with batches of {len(self.order)} samples, "
                f"got {len(state['order'])}"
            )
        self.order, self.position = state["order"], int(state["position"])
        place, has_gauss, gauss = state["random_rest"].tolist()
        rng = np.random.RandomState()  # a given instance is not to jump back
        rng.set_state(("MT19937", state["random_keys"], int(place), int(has_gauss), gauss))
        self.rng = rng


@contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Turn Ctrl-C into an event, so that no step is left half-taken; again, and it is obeyed."""
    interrupt = threading.Event()
    previous = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()  # others get no signals
    if not is_main or previous in (None, signal.SIG_IGN):
        yield interrupt
        return

    def note(number: int, frame: Any) -> None:
        if interrupt.is_set():
            raise KeyboardInterrupt
        interrupt.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, previous)


def _check_count(value: Any, name: str) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"expected {name} to be an integer of at least 1, got {value!r}")
    return int(value)
