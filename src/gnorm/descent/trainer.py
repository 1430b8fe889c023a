r"""The loop of training: steps of an optimiser, batches, measurements, interruptions."""

from __future__ import annotations

import math
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from gnorm.descent.checks import check_count
from gnorm.descent.history import History, Stop
from gnorm.descent.losses import ExponentialLike
from gnorm.descent.network import Activations, Network
from gnorm.descent.objective import MarginLoss, Objective, check_loss
from gnorm.descent.optimizers.base import Arrays, Part, Step
from gnorm.descent.optimizers.batches import Batches
from gnorm.descent.schedules import MarginGrowth
from gnorm.gated import FloatArray

__all__ = ["Descent", "DivergenceError"]

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


class Descent:
    r"""Training by an optimiser that is a list of parts.

    Every step begins with the gradient, which the parts change one after the other; what comes out
    is added to the weights. :class:`GradientDescent` and :class:`Adam` are such lists with familiar
    arguments.

    Parameters
    ----------
    parts : sequence of Part
        Parts of a step in their order, for instance
        ``[Average(0.9), Direction("linf", unit_steps=True), Rate(0.01)]``. One of them has to turn
        downhill, which :class:`Rate` does.
    loss : {"logistic", "exponential"} or ExponentialLike, default="logistic"
        Loss of a margin, for :meth:`train`.
    batch_size : int, default=None
        Samples of a step, drawn without repetition until all were seen, the last batch of a pass
        as large as what is left; None takes all.
    max_steps : int, default=1000
        Steps of a run in all, those before it was resumed included.
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
    Signs of an average of gradients:

    >>> import numpy as np
    >>> from gnorm.descent import Average, Descent, Direction, GatedNetwork, Rate
    >>> X, y = np.array([[2.0, 1.0], [-1.0, -2.0]]), np.array([1, -1])
    >>> network = GatedNetwork.deep_linear(n_features=2, n_units=1, random_state=0)
    >>> parts = [Average(0.9), Direction("linf", unit_steps=True), Rate(0.01)]
    >>> history = Descent(parts, max_steps=500).train(network, X, y)
    >>> bool(history["min_margin"][-1] > 10)
    True
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        loss: str | ExponentialLike = "logistic",
        batch_size: int | None = None,
        max_steps: int = 1000,
        rescaling: MarginGrowth | None = None,
        log_every: int | None = None,
        callback: Callback | None = None,
        progress: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.parts = list(parts) if isinstance(parts, Iterable) else []
        if not self.parts or not all(isinstance(part, Part) for part in self.parts):
            raise ValueError(f"expected a list of at least one Part of an optimiser, got {parts!r}")
        self.loss = check_loss(loss)
        self.batch_size = None if batch_size is None else check_count(batch_size, "batch_size")
        self.max_steps = check_count(max_steps, "max_steps")
        if rescaling is not None and not isinstance(rescaling, MarginGrowth):
            raise ValueError(f"expected rescaling to be a MarginGrowth or None, got {rescaling!r}")
        if rescaling is not None and batch_size is not None:
            raise ValueError(
                "expected batch_size=None with rescaling, which goes by the smallest margin of all "
                f"samples, got {batch_size}"
            )
        self.rescaling = rescaling
        self.log_every = None if log_every is None else check_count(log_every, "log_every")
        self.callback = callback
        self.progress = progress
        self.random_state = random_state

    def _settings(self) -> str:
        """What to name where a run diverges."""
        return f"{self.parts}"

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
        if not isinstance(objective, Objective):
            raise ValueError(
                "expected an objective, such as MarginLoss(network, X, y) makes of a network, "
                f"got {objective!r}"
            )
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
    """One run: the parameters, the memory of the parts and the batches, as they move."""

    def __init__(
        self, descent: Descent, objective: Objective, subject: Any, history: History | None
    ) -> None:
        self.descent, self.objective, self.subject = descent, objective, subject
        if descent.rescaling is not None and objective.degree is None:
            raise ValueError(
                "expected a homogeneous network for rescaling, which keeps its direction, got one "
                "with a bias or an objective without margins"
            )
        if objective.parameters.size == 0:
            raise ValueError(f"expected weights to train, got none in {subject!r}")
        self.degree = objective.degree or 1
        self.batches = Batches(objective.n_samples, descent.batch_size, descent.random_state)
        self.layers = objective.weights
        self.weights = self._split(objective.parameters)
        self.update = np.empty_like(objective.parameters)
        self.updates = self._split(self.update)
        self.states = [
            part.start(self.weights if part.is_layerwise else [objective.parameters])
            for part in descent.parts
        ]
        names = [name for state in self.states for name in state]
        if len(set(names)) < len(names):
            raise ValueError(
                f"expected parts that remember different things, got twice some of {sorted(names)}"
            )
        taken = {"parameters", *self.batches.state()}
        if both := sorted(taken.intersection(names)):
            raise ValueError(
                f"expected parts that remember by names other than {sorted(taken)}, which a "
                f"history has itself, got {both}"
            )
        self.step = 0
        self.history = History()
        if history is not None:
            self._resume(history)

    def _split(self, vector: FloatArray) -> Arrays:
        """Views of a vector like the parameters: the layers, and what comes after them."""
        views, start = [], 0
        for W in self.layers:
            views.append(vector[start : start + W.size].reshape(W.shape))
            start += W.size
        return [*views, vector[start:]] if start < len(vector) else views

    def _memory(self) -> dict[str, Arrays]:
        """What the parts remember, by name."""
        return {name: arrays for state in self.states for name, arrays in state.items()}

    def _resume(self, history: History) -> None:
        if not isinstance(history, History):
            raise ValueError(f"expected a History to resume, got {type(history).__name__}")
        if history.stop is Stop.DIVERGED:
            raise ValueError("expected a history of a run that did not diverge, got one that did")
        shape = self.objective.parameters.shape
        got = history.state["parameters"].shape if history.state else None
        if got != shape:
            raise ValueError(f"expected a history with a state of {shape[0]} parameters, got {got}")
        memory = self._memory()
        remembered = set(history.state) - {"parameters", *self.batches.state()}
        if remembered != set(memory):
            raise ValueError(
                "expected a history of an optimiser that remembers the same, "
                f"{sorted(memory)}, got {sorted(remembered)}"
            )
        self.batches.restore(history.state)
        self.objective.parameters[:] = history.state["parameters"]
        for name, arrays in memory.items():
            parts = np.split(history.state[name], np.cumsum([a.size for a in arrays])[:-1])
            for a, part in zip(arrays, parts, strict=True):
                a[...] = part.reshape(a.shape)
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
        """Take steps until one of the ends, and log on the way.

        Parameters
        ----------
        interrupt : threading.Event
            Set by Ctrl-C; the step that is under way is finished.

        Returns
        -------
        History
            What was logged, the state at the end, and why it ended.
        """
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
        log_scale, min_margin = self.objective.gradient(self.batches.next(), self.update)
        if not math.isfinite(log_scale):
            return False
        step = Step(self.step, log_scale, self.layers, self.weights)
        try:
            for part, state in zip(descent.parts, self.states, strict=True):
                part.apply(self.updates if part.is_layerwise else [self.update], state, step)
        except FloatingPointError:
            return False
        parameters += self.update
        if descent.rescaling is not None:
            scale = descent.rescaling.factor(self.step, min_margin, self.degree)
            parameters *= scale
            for part, state in zip(descent.parts, self.states, strict=True):
                part.rescale(state, scale)
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
            **{
                name: np.concatenate([a.ravel() for a in arrays])
                for name, arrays in self._memory().items()
            },
            **self.batches.state(),
        }
        if stop is Stop.DIVERGED:
            # a row of the weights without a finite loss tells nothing
            history.rows = [row for row in history.rows if row["step"] < self.step]
            raise DivergenceError(
                f"training diverged: the loss is too large after {self.step} steps; expected a "
                f"smaller rate or momentum, got {self.descent._settings()}",
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
        """Note the signal; a second one interrupts at once."""
        if interrupt.is_set():
            raise KeyboardInterrupt
        interrupt.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, previous)


def __getattr__(name: str) -> Any:
    """Find what pickles look for here: gradient descent, before it had a file of its own."""
    if name == "GradientDescent":
        from gnorm.descent.gradient_descent import GradientDescent

        return GradientDescent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
