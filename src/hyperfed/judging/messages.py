"""What this process and a judging process tell each other.

A round's context goes first, answered by None once it can judge; then each `Work` is answered by a `Part`, and None by the blocks that were written for it;
anything by `Failed`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hyperfed.admission import Admission, Arrival
from hyperfed.errors import HyperfedError, RoundError
from hyperfed.merge.packed import PackedTable
from hyperfed.merge.spool import Spooled

__all__ = ["BaseWanted", "Cut", "Failed", "Part", "Work", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """Clients' objects. cut: how the spool is cut, told once; until then edges come back."""

    arrivals: Sequence[Arrival]
    cut: "Cut | None" = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cut:
    """bounds: as of a `Spool`; block_bytes: that a block has at least."""

    bounds: npt.NDArray[np.uint64]
    block_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Some clients, judged. edges: by digest, those of admitted updates that another process has judged, packed, or where in the spool it puts them; such
    updates have none themselves."""

    admission: Admission
    edges: dict[bytes, PackedTable | Spooled] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseWanted:
    """A judging process' question: a client's last counted update, if it is this one. Answered by an `Update`, None or `Failed`."""

    client: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """What was asked for could not be done, and no client is to blame."""

    error: HyperfedError | OSError


def failure(error: Exception) -> Failed:
    """The error as it can travel."""
    if isinstance(error, HyperfedError | OSError) and not isinstance(error, ConnectionError):  # which would be the line's
        return Failed(error=error)
    return Failed(error=RoundError(f"{type(error).__name__}: {error}"[:400], subject="a judging process"))
