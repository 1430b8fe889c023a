"""Samples of a step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

__all__ = ["Batches"]


class Batches:
    """Random passes over the samples, in batches; the order of a pass is part of the state.

    Parameters
    ----------
    n_samples : int
        Number of samples.
    batch_size : int or None
        Samples of a batch, the last of a pass as large as what is left; None takes all.
    random_state : int, RandomState instance or None
        Draws the order of every pass.

    Raises
    ------
    ValueError
        If the random state is not one of the Mersenne Twister, whose state can be saved.
    """

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
        """Return the samples of the next batch, None for all."""
        if self.is_full:
            return None
        if self.position >= len(self.order):
            self.order = self.rng.permutation(len(self.order))
            self.position = 0
        rows = self.order[self.position : self.position + self.size]
        self.position += self.size
        return rows

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays from which :meth:`restore` goes on."""
        _, keys, place, has_gauss, gauss = self.rng.get_state(legacy=True)
        return {
            "order": self.order,
            "position": np.array(self.position),
            "random_keys": keys,
            "random_rest": np.array([place, has_gauss, gauss], dtype=float),
        }

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from a state.

        Parameters
        ----------
        state : dict of str to ndarray
            What :meth:`state` returned.

        Raises
        ------
        ValueError
            If it is of batches of another number of samples.
        """
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
