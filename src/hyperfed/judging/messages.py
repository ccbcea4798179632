"""What this process and a judging process tell each other.

A round's context goes first, answered by None once it can judge; then lists of `Arrival`, each answered by a `Part` or `Failed`.
"""

from dataclasses import dataclass, field

from hyperfed.admission import Admission
from hyperfed.errors import HyperfedError, RoundError
from hyperfed.merge.packed import PackedTable

__all__ = ["BaseWanted", "Failed", "Part", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Some clients, judged. edges: by digest, the packed edges of admitted updates that came from another process; such updates have none themselves."""

    admission: Admission
    edges: dict[bytes, PackedTable] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseWanted:
    """A judging process' question: a client's last counted update, if it is this one. Answered by an `Update`, None or `Failed`."""

    client: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """What was asked for could not be done, and no client is to blame."""

    error: HyperfedError


def failure(error: Exception) -> Failed:
    """The error as it can travel."""
    if isinstance(error, HyperfedError):
        return Failed(error=error)
    return Failed(error=RoundError(f"{type(error).__name__}: {error}"[:400], subject="a judging process"))
