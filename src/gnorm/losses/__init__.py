"""Losses: what a problem asks of the outputs.

Every loss stands in one file and is one line of the table below.
"""

from gnorm.losses.absolute_error import AbsoluteError
from gnorm.losses.base import Loss
from gnorm.losses.classes import ClassLoss
from gnorm.losses.crammer_singer import CrammerSinger
from gnorm.losses.epsilon_insensitive import EpsilonInsensitive
from gnorm.losses.hinge import Hinge
from gnorm.losses.huber import Huber
from gnorm.losses.log_loss import LogLoss
from gnorm.losses.multinomial import Multinomial
from gnorm.losses.one_versus_rest import OneVersusRest
from gnorm.losses.quantile import Quantile
from gnorm.losses.squared_error import SquaredError
from gnorm.losses.squared_hinge import SquaredHinge

__all__ = [
    "AbsoluteError",
    "ClassLoss",
    "CrammerSinger",
    "EpsilonInsensitive",
    "Hinge",
    "Huber",
    "LogLoss",
    "Loss",
    "Multinomial",
    "OneVersusRest",
    "Quantile",
    "SquaredError",
    "SquaredHinge",
    "get_loss",
]

_LOSSES: dict[str, type[Loss]] = {
    "hinge": Hinge,
    "squared_hinge": SquaredHinge,
    "log_loss": LogLoss,
    "multinomial": Multinomial,
    "crammer_singer": CrammerSinger,
    "one_versus_rest": OneVersusRest,
    "squared_error": SquaredError,
    "epsilon_insensitive": EpsilonInsensitive,
    "absolute_error": AbsoluteError,
    "quantile": Quantile,
    "huber": Huber,
}


def get_loss(loss: str | Loss) -> Loss:
    """Loss of a name with its default parameters; a loss is returned as it is.

    Parameters
    ----------
    loss : str or Loss
        One of "hinge", "squared_hinge", "log_loss" (labels -1 and 1), "multinomial",
        "crammer_singer", "one_versus_rest" (classes), "squared_error", "epsilon_insensitive",
        "absolute_error", "quantile", "huber" (numbers), or a loss.

    Returns
    -------
    loss : Loss
        The loss.

    Raises
    ------
    ValueError
        If no loss has that name.

    Examples
    --------
    >>> from gnorm.losses import get_loss
    >>> get_loss("huber")
    Huber(delta=1.35)
    """
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str) or loss not in _LOSSES:
        raise ValueError(f"expected a Loss or one of {sorted(_LOSSES)}, got {loss!r}")
    return _LOSSES[loss]()
