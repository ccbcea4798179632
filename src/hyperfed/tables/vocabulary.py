"""Hold the variables that a round is about, as a versioned list with a digest.

1. Edges use indices into this list; the list is part of the signed plan (DESIGN section 2).
2. An update made against another vocabulary is refused, with both digests in the reason.
3. A variable may state the unit that all clients count it in, and what values are plausible in it.
   Clients compare their data with both before they send (`engines.readers.units`). They are part of
   the digest: the same names in other units are another vocabulary.
"""

import hashlib
import math
import struct
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

from hyperfed.config import MAX_VARIABLES
from hyperfed.errors import BoundsError

__all__ = ["Variable", "Vocabulary"]

# What `codec.versions.since(4)` returns: this room lies below the codec.
_LATER = {"hyperfed schema version": 4}


@dataclass(frozen=True, slots=True)
class Variable:
    """Holds the name of one variable, its domain, its unit and its plausible range.

    Raises BoundsError for a text of more than 200 characters, or with one that is not printable.
    """

    name: str
    """The name, which is not empty and is unique in its vocabulary."""
    domain: str = ""
    """The field that the variable belongs to, such as "economics" or "lab"; it may be empty."""
    unit: str = field(default="", metadata=_LATER)
    """The unit that all clients count it in, such as "EUR" or "mmol/L"; empty where none is stated.
    """
    low: float | None = field(default=None, metadata=_LATER)
    """The smallest value that is plausible, in that unit; None where none is stated."""
    high: float | None = field(default=None, metadata=_LATER)
    """The largest value that is plausible, in that unit; None where none is stated."""

    def __post_init__(self) -> None:
        for end in ("low", "high"):
            value = getattr(self, end)
            if value is not None and (type(value) not in (int, float) or not math.isfinite(value)):
                raise BoundsError(
                    f"the {end} end of its plausible range is {value!r:.40}; a finite number is "
                    "needed",
                    subject=repr(self.name)[:80],
                )
            if value is not None:
                object.__setattr__(self, end, float(value) + 0.0)  # one form of 0 travels
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise BoundsError(
                f"its plausible range is {self.low:g} to {self.high:g}; the low end comes first",
                subject=repr(self.name)[:80],
            )
        for part, text in (("name", self.name), ("domain", self.domain), ("unit", self.unit)):
            # A printable text holds nothing that controls a terminal, reverses the reading
            # direction or cannot be written as UTF-8.
            if (
                not isinstance(text, str)
                or len(text) > 200
                or not text.isprintable()
                or (part == "name" and not text)
            ):
                raise BoundsError(
                    f"a variable's {part} is a text of at most 200 printable characters",
                    subject=repr(text)[:80],
                )

    @property
    def is_plain(self) -> bool:
        """Whether the variable states neither a unit nor a plausible range."""
        return not self.unit and self.low is None and self.high is None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Holds the variables in the order that indices refer to.

    Raises BoundsError where names repeat, or there are more than `MAX_VARIABLES`.
    """

    variables: tuple[Variable, ...]
    """The variables; the index of one is its position."""
    version: int = 1
    """The version, an integer of at least 0. It grows by one with every change."""

    def __post_init__(self) -> None:
        if type(self.version) is not int or not 0 <= self.version < 1 << 53:
            raise BoundsError(
                f"version {self.version!r:.40}; an integer of at least 0 is needed",
                subject="vocabulary",
            )
        if len(self.variables) > MAX_VARIABLES:
            raise BoundsError(
                f"{len(self.variables)} variables; at most {MAX_VARIABLES} fit",
                subject="vocabulary",
            )
        if len({v.name for v in self.variables}) != len(self.variables):
            twice = sorted(
                name for name, count in Counter(v.name for v in self.variables).items() if count > 1
            )
            raise BoundsError(
                f"variable names must be unique; twice: {', '.join(twice[:5])}",
                subject="vocabulary",
            )

    @classmethod
    def of(cls, *names: str, domain: str = "", version: int = 1) -> "Vocabulary":
        """Return a vocabulary of `names`, all in one domain."""
        return cls(tuple(Variable(name, domain) for name in names), version)

    def __len__(self) -> int:
        return len(self.variables)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the variables, in the order of their indices."""
        return tuple(v.name for v in self.variables)

    def index(self, name: str) -> int:
        """Return the index of the variable called `name`.

        Raises BoundsError where there is none; the message lists the first names there are.
        """
        for i, variable in enumerate(self.variables):
            if variable.name == name:
                return i
        first_names = ", ".join(self.names[:12]) + (" ..." if len(self) > 12 else "")
        raise BoundsError(
            "unknown variable",
            subject=repr(name)[:80],
            remedy=f"The vocabulary (version {self.version}) has: {first_names}",
        )

    @property
    def digest(self) -> bytes:
        """The SHA-256 digest, 32 bytes, over the version and the variables.

        Each text is preceded by its length. Units and ranges follow where any variable has one.
        """
        return _digest_of(self)


@lru_cache(maxsize=16)
def _digest_of(vocabulary: Vocabulary) -> bytes:
    """Return the digest, which is cached: a round compares it once for every client."""
    h = hashlib.sha256(f"hyperfed/vocabulary/{vocabulary.version}/{len(vocabulary)}\n".encode())
    for variable in vocabulary.variables:
        for text in (variable.name.encode(), variable.domain.encode()):
            h.update(len(text).to_bytes(4, "little"))
            h.update(text)
    if not all(variable.is_plain for variable in vocabulary.variables):
        # Only then, so that a vocabulary without units keeps the digest that it always had.
        h.update(b"units\n")
        for variable in vocabulary.variables:
            unit = variable.unit.encode()
            h.update(len(unit).to_bytes(4, "little") + unit)
            for end in (variable.low, variable.high):
                h.update(b"\0" if end is None else b"\1" + struct.pack("<d", end))
    return h.digest()
