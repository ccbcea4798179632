"""Check a packet's fields.

Each check returns the value in the one form that travels, or raises BoundsError, which names the
packet, the field and what is needed.
"""

import itertools
import math
from decimal import Decimal, InvalidOperation

import numpy as np

from hyperfed.config import MAX_VARIABLES
from hyperfed.errors import BoundsError
from hyperfed.tables.tables import MAX_LAG

__all__ = ["ascending_lags", "decimal", "index", "integer", "keep_checked", "number"]


def _shown(value: object) -> str:
    return (
        f"a {value.bit_length()}-bit integer"
        if type(value) is int and value.bit_length() > 64
        else f"{value!r:.80}"
    )


def integer(kind: str, name: str, value: object, low: int, below: int) -> int:
    """Return the value as an int within [low, below).

    It takes an int or a numpy integer, but no bool. Raises BoundsError for anything else.
    """
    if isinstance(value, np.integer):
        value = int(value)
    if type(value) is not int or not low <= value < below:
        raise BoundsError(
            f"{name} is {_shown(value)}; an integer in [{low}, {below}) is needed", subject=kind
        )
    return value


def index(kind: str, name: str, value: object, below: int = MAX_VARIABLES) -> int:
    """Return the value as an int within [0, below). Raises BoundsError for anything else."""
    return integer(kind, name, value, 0, below)


def ascending_lags(kind: str, value: object) -> tuple[int, ...]:
    """Return lags as a tuple of ints, strictly ascending, from 0 to `MAX_LAG`.

    It takes a list or a tuple. Raises BoundsError for anything else.
    """
    if not isinstance(value, list | tuple):
        raise BoundsError(f"lags is {value!r:.80}; a list of whole numbers is needed", subject=kind)
    lags = tuple(index(kind, "a lag", lag, MAX_LAG + 1) for lag in value)
    if any(a >= b for a, b in itertools.pairwise(lags)):
        raise BoundsError(
            f"lags is {list(lags)!r:.80}; each lag is named once, the shortest first", subject=kind
        )
    return lags


def number(
    kind: str, name: str, value: object, low: float = -math.inf, high: float = math.inf
) -> float:
    """Return the value as the one float that travels: finite, within [low, high], 0.0 for -0.0.

    It takes an int, a float or a numpy number, but no bool. Raises BoundsError for anything else.
    """
    if isinstance(value, np.integer | np.floating):
        value = value.item()
    if type(value) is int and value.bit_length() > 1000:
        raise BoundsError(f"{name} is {_shown(value)}; a finite number is needed", subject=kind)
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise BoundsError(f"{name} is {_shown(value)}; a finite number is needed", subject=kind)
    if not low <= value <= high:  # type: ignore[operator]
        raise BoundsError(
            f"{name} is {_shown(value)}; it must lie in [{low:g}, {high:g}]", subject=kind
        )
    return float(value) + 0.0  # type: ignore[arg-type]


def decimal(kind: str, name: str, value: object, below: Decimal) -> Decimal:
    """Return the value as the decimal it is written as, within (0, below].

    The decimal has at most 30 digits and is at least 1e-30. Raises BoundsError for anything else.
    """
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if (
        isinstance(value, bool)
        or not number.is_finite()
        or not 0 < number <= below
        or len(number.as_tuple().digits) > 30
        or number.adjusted() < -30
    ):
        raise BoundsError(
            f"{name} is {value!r:.80}; a number above 0 and at most {below} is needed", subject=kind
        )
    return number


def keep_checked(packet: object, **values: object) -> None:
    """Set the packet's fields to their checked values, although the packet is frozen."""
    for name, value in values.items():
        object.__setattr__(packet, name, value)
