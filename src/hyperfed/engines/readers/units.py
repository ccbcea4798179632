"""Compare a client's units with the round's, and convert or refuse what differs.

1. A variable of the vocabulary may state a unit and a plausible range. What a client says of its
   own data (`--unit output=kEUR`, or a header `output [kEUR]`) is compared with the unit as text.
2. Units that differ are converted by the factor that the user gives (`--convert output=1000`), or
   refused: a guessed factor makes an effect that is wrong by it.
3. Where many values lie outside the range, the data are in another unit, whatever they say, and are
   refused. Single values outside the range are reported.

What it does not do: it does not know units. Their names are texts that people agree on.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hyperfed.engines.readers.numbers import NotANumber, plain_number
from hyperfed.engines.readers.sheet import Floats, clean_name
from hyperfed.errors import ConfigError, EngineError
from hyperfed.tables.vocabulary import Variable

__all__ = ["Conversion", "Units", "in_the_rounds_units"]

_MOSTLY = 0.05  # the share of values that may lie outside the plausible range
_FACTORS = (1e3, 1e-3, 1e2, 1e-2, 1e6, 1e-6, 10.0, 0.1, 1e9, 1e-9)
_PREFIXES = {"k": 1e3, "M": 1e6, "G": 1e9, "m": 1e-3, "\u00b5": 1e-6, "n": 1e-9}


@dataclass(frozen=True, slots=True)
class Conversion:
    """Holds how a client's values become the round's: factor * value + offset."""

    factor: float
    """The number of the round's units in one of the client's; not 0."""
    offset: float = 0.0
    """What is added then, such as for degrees."""

    @classmethod
    def of(cls, text: str, name: str) -> "Conversion":
        """Return the conversion that a text says: "1000", or "0.5556x-17.78".

        Raises ConfigError.
        """
        factor, x, offset = text.replace(" ", "").replace("*", "").partition("x")
        try:
            conversion = cls(plain_number(factor), plain_number(offset) if offset else 0.0)
        except NotANumber:
            conversion = cls(0.0)
        if conversion.factor == 0 or (x and not re.match(r"[+-]|$", offset)):
            raise ConfigError(
                f"{text!r:.40} converts nothing",
                subject=f"--convert {name!r:.80}",
                remedy="Give the factor, as in output=1000; or with an offset: heat=0.5556x-17.78",
            )
        return conversion


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """Holds what the user says about units, by variable; names are cleaned (`sheet`)."""

    said: Mapping[str, str] = field(default_factory=dict)
    """The unit of a variable in the client's data."""
    convert: Mapping[str, str] = field(default_factory=dict)
    """How a variable becomes the round's unit, as `Conversion.of` reads it."""

    def __post_init__(self) -> None:
        for part in ("said", "convert"):
            cleaned = {clean_name(name): text for name, text in getattr(self, part).items()}
            object.__setattr__(self, part, cleaned)

    def conversions(self) -> dict[str, Conversion]:
        """Return the conversions. Raises ConfigError."""
        return {name: Conversion.of(text, name) for name, text in self.convert.items()}

    def check(self, name: str, here: str, variable: Variable | None, subject: str) -> None:
        """Raise EngineError where the client's unit is not the round's and nothing converts it."""
        here = self.said.get(clean_name(name), here)
        there = variable.unit if variable is not None else ""
        if not here or not there or here == there or clean_name(name) in self.convert:
            return
        factor = _prefix_factor(here, there)
        raise EngineError(
            f"{name!r:.80} is in {here!r:.40} here, and the round counts it in {there!r:.40}",
            subject=subject,
            remedy=f"Give --convert {name}={f'{factor:g}' if factor else 'FACTOR'}, the "
            f"{there} in one {here}; or --unit {name}={there} where the name is wrong",
        )


def in_the_rounds_units(
    values: Floats,
    names: Sequence[str],
    variables: Mapping[str, Variable | None],
    stated: Mapping[str, str],
    units: Units,
    subject: str,
) -> tuple[Floats, tuple[str, ...]]:
    """Return the values in the round's units, and notes.

    Args:
        values: float64[rows, names], NaN where missing.
        names: The variables.
        variables: The vocabulary's entries, by name.
        stated: The units that the source itself states, by name.
        units: What the user says.
        subject: The name of the source, for errors.

    Raises EngineError for another unit and for values outside the plausible range.
    """
    conversions, notes = units.conversions(), list[str]()
    there = set(map(clean_name, names))
    for name in (*units.said, *conversions):
        if name not in there:
            raise EngineError(
                "is not read, so it has no unit here",
                subject=f"--unit or --convert {name!r:.80}",
                remedy="Name a variable that the data have",
            )
    values = np.array(values)
    for at, name in enumerate(names):
        entry = variables.get(name)
        units.check(name, stated.get(name, ""), entry, subject)
        done = conversions.get(clean_name(name))
        if done is not None:
            with np.errstate(over="ignore"):
                values[:, at] = done.factor * values[:, at] + done.offset
            if np.isinf(values[:, at]).any():
                raise EngineError(
                    f"{name!r:.80} exceeds the largest number after --convert", subject=subject
                )
        if entry is not None:
            notes += _range_notes(values[:, at], entry, subject)
    return values, tuple(notes)


def _prefix_factor(here: str, there: str) -> float | None:
    """Return the factor between two units that differ by a prefix alone, or None."""
    for prefix, factor in _PREFIXES.items():
        if here == prefix + there:
            return factor
        if there == prefix + here:
            return 1 / factor
    return None


def _range_notes(column: Floats, entry: Variable, subject: str) -> list[str]:
    """Return a note on values outside the plausible range.

    Raises EngineError where they are too many to be odd values.
    """
    low = -math.inf if entry.low is None else entry.low
    high = math.inf if entry.high is None else entry.high
    there = column[np.isfinite(column)]
    outside = int(((there < low) | (there > high)).sum())
    if not outside:
        return []
    unit = f" {entry.unit}" if entry.unit else ""
    span = f"{low:g} to {high:g}{unit}"
    description = f"{outside} of {len(there)} values of {entry.name!r:.80} lie outside {span}"
    middle = float(np.median(there))
    if outside <= _MOSTLY * len(there) and low <= middle <= high:
        return [f"{description}, which the round calls plausible"]
    fits = [f for f in _FACTORS if ((there * f >= low) & (there * f <= high)).mean() >= 1 - _MOSTLY]
    hint = f"They would fit as --convert {entry.name}={fits[0]:g}. " if fits else ""
    raise EngineError(
        f"{description}, the plausible range of the round; the middle one is {middle:.4g}",
        subject=subject,
        remedy=f"{hint}They seem to be in another unit: give --convert {entry.name}=FACTOR, or "
        "tell the operator that the range is wrong",
    )
