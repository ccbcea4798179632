"""Show what clients, helpers and the coordinator wrote so that a sum is opened."""

from dataclasses import fields
from typing import Any

from hyperfed.crypto.envelope import Signed
from hyperfed.dropbox.opening_objects import Rebuttal
from hyperfed.dropbox.openings import OpeningReader
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.dropbox.rebuttals import verdicts_on
from hyperfed.errors import RefusedError, RoundError

__all__ = ["opening_part"]


def opening_part(reader: DropBoxReader, key: str, round_id: int) -> tuple[Signed, dict[str, Any]]:
    """Return the verified envelope of one part of a round's opening, and what it says.

    Numbers are counted, not shown: they look like noise. Raises RoundError where the round has no
    plan, and RefusedError where the part does not count.
    """
    plan = reader.plan(round_id)
    if plan is None:
        raise RoundError("was not opened", subject=f"round {round_id}", rule="R-60")
    openings = OpeningReader(reader, plan)
    part = openings.part_at(key)
    if part is None:
        raise RefusedError(openings.why_not.get(key, "is no part of an opening"), subject=key)
    content = {one.name: getattr(part.value, one.name) for one in fields(part.value)}
    if isinstance(part.value, Rebuttal):
        content["verdicts"] = [
            f"{one.helper}: {one.said}" for one in verdicts_on(openings, part.value.client)
        ]
    for name in ("sums", "boxes", "commitments", "keys"):
        if name in content:
            content[name] = f"{len(content[name])} of them"
    return part.signed, content
