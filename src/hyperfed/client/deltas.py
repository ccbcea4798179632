"""Send changes in place of a whole edge table, where these are shorter.

1. What was sent last is kept beside the client's memory, with its digest and round. Changes refer
   to it only where its receipt says that it was counted and nothing was sent since: the coordinator
   then knows it as this client's last counted update (R-97).
2. Changes can state new effects, intervals and hits. Where rows come or go, or confidence,
   stability or n differ, the whole table is sent, as after any new data. Only a round without new
   data, or a correction of a few finished edges, is sent as changes.
3. Changes are sent where they are shorter than half the whole update, encoded. What the coordinator
   makes of them is compared with the table first, to a millionth of a millionth.
4. After `_LONGEST` updates of changes on top of each other the whole table is sent, so that no
   base is older than what a drop-box keeps.

What it does not do: it changes nothing else of an update, and takes no part in private rounds or
in those of statistics.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hyperfed.codec import PayloadCodec
from hyperfed.errors import BoundsError, ConfigError, PacketError
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.packets import Update
from hyperfed.protocol.objects import Plan
from hyperfed.protocol.receipt_objects import Fate, Receipt
from hyperfed.storage.local_files import write_durably
from hyperfed.tables.tables import EdgeTable

__all__ = ["LastUpdate", "SentUpdate"]

_LONGEST = 5
_ALIKE = 1e-12
_REMEDY = "Nothing was sent; give the client a writable place"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentUpdate:
    """Holds the whole of an update as it was sent, whether by changes or not."""

    digest: str
    """The digest of the update, hexadecimal."""
    round: int
    """The round that it was made for."""
    vocabulary: str
    """The digest of the round's vocabulary, hexadecimal."""
    depth: int
    """How many updates of changes lie on top of the last whole table."""
    body: bytes
    """The update with its whole table, encoded."""


class LastUpdate:
    """Keeps the last update that was sent in the file `path`; without one, nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> SentUpdate | None:
        """Return what was sent last, or None. A file that cannot be read is as none."""
        if self._path is None or not self._path.exists():
            return None
        try:
            head, _, body = self._path.read_bytes().partition(b"\n")
            return SentUpdate(**json.loads(head), body=body)
        except (OSError, ValueError, TypeError):
            return None  # the whole table is sent, which needs no memory

    def keep(self, update: Update, plan: Plan, *, digest: str, depth: int) -> None:
        """Keep the whole of what was sent. Raises ConfigError where the file cannot be written."""
        if self._path is None or plan.policy.privacy != "none" or update.edges is None:
            return
        head = {
            "digest": digest,
            "round": plan.round,
            "vocabulary": plan.vocabulary.digest.hex(),
            "depth": depth,
        }
        body = PayloadCodec(compression="zstd").encode(update)
        data = json.dumps(head).encode() + b"\n" + body
        write_durably(self._path, data, error=ConfigError, remedy=_REMEDY)

    def shortest(
        self,
        update: Update,
        plan: Plan,
        previous: str,
        receipt_of: Callable[[int], Receipt | None],
    ) -> tuple[Update, int]:
        """Return the update as changes where these are shorter, else as it is.

        `previous` is the digest of what this client sent last, and `receipt_of` gives its receipt
        of a round. The number says how many updates of changes lie on top of the last whole table
        then.
        """
        sent = self.read()
        if (
            sent is None
            or update.statistics is not None
            or plan.policy.privacy != "none"
            or sent.digest != previous
            or sent.round >= plan.round
            or sent.vocabulary != plan.vocabulary.digest.hex()
            or sent.depth >= _LONGEST
        ):
            return update, 0
        changes = _changes(update, sent)
        if changes is None:
            return update, 0
        receipt = receipt_of(sent.round)
        if (
            receipt is None
            or receipt.fate is not Fate.COUNTED
            or receipt.digest.hex() != sent.digest
        ):
            return update, 0
        return changes, sent.depth + 1


def _changes(update: Update, sent: SentUpdate) -> Update | None:
    """Return the update as changes against what was sent; None where they are not much shorter."""
    try:
        base = PayloadCodec().decode(sent.body, Update)
    except PacketError:
        return None
    if base.edges is None or update.edges is None:
        return None
    before = HypergraphStore(edges=base.edges, measured=base.measured)
    after = HypergraphStore(edges=update.edges, measured=update.measured)
    try:
        table = before.diff(after).deltas
        changes = replace(update, edges=None, deltas=table, base=bytes.fromhex(sent.digest))
        if not _alike(before.apply(table).edges, update.edges):
            return None
    except BoundsError:  # changes cannot say it, or an end of a changed edge is not measured now
        return None
    codec = PayloadCodec(compression="zstd")
    return changes if 2 * len(codec.encode(changes)) < len(codec.encode(update)) else None


def _alike(applied: EdgeTable, target: EdgeTable) -> bool:
    """Return whether two tables of the same edges say the same, except for rounding."""
    for name in ("effect", "ci_low", "ci_high"):
        a, b = getattr(applied, name), getattr(target, name)
        if (a is None) != (b is None):
            return False
        if a is not None and not np.allclose(a, b, rtol=_ALIKE, atol=0.0):
            return False
    return np.array_equal(applied.hits, target.hits)
