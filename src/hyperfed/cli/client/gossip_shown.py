"""Show and save a basket's own average, for `hyperfed pull --gossip`.

1. Everything says what the average is not: no coordinator counted or weighed it.
2. What became of the round stands beside it: a committed round has a better result.
"""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperfed.cli.files import replace_file
from hyperfed.cli.invocation import Invocation
from hyperfed.cli.output import plain, show_pairs, show_table

if TYPE_CHECKING:
    from hyperfed.client import ClientSession

__all__ = ["pull_gossip"]

_COLUMNS = ("source", "target", "lag", "effect", "stands_out")


def pull_gossip(invocation: Invocation, out: Path, top: int) -> None:
    """Show the newest average that this client has, and save it beside the model.

    Raises RoundError where this client took no part in any gossip.
    """
    from hyperfed.client.gossip import GossipAtDropBox
    from hyperfed.gossip.averages import LABEL

    with invocation.out.step("Reading what peers have left"):
        session = invocation.session(signing=True)
        average = GossipAtDropBox(session).average(now=invocation.now)
        standing = _standing(session, average.terms.round)
    rows, terms = average.rows(), average.terms
    document = {
        "label": LABEL,
        "federation": terms.announced.federation,
        "round": terms.round,
        "round_is": standing,
        "plan_of_round": terms.announced.round,
        "basket": terms.basket,
        "members": list(terms.plan.clients),
        "heard_of": list(average.senders),
        "shares": average.heard,
        "epoch": average.epoch,
        "noise_std_least": average.noise_least,
        "noise_std_most": average.noise_most,
        "cut": average.cut,
        "edges": rows,
    }
    _save(rows, document, out)
    text = f"round {terms.round}, which {standing}; on the plan of round {terms.announced.round}"
    pairs = {
        "What this is": LABEL,
        "Of": text,
        "Basket": f"{terms.basket or 'all clients'}, {len(terms.plan.clients)} members; heard of "
        f"{len(average.senders)} directly, {average.heard} shares in {average.epoch} epochs",
        "Noise": f"standard deviation {average.noise_least:.3g} on each number with every member "
        f"in it, {average.noise_most:.3g} with one alone; above {average.cut:.3g} a number stands "
        "out",
        "Files": f"{out}/gossip.csv, {out}/gossip.json",
    }

    def render(to: Any) -> None:
        strongest = min(top, len(rows))
        title = f"The basket's own average, round {terms.round}: the strongest {strongest}"
        shown = ([row[name] for name in _COLUMNS] for row in rows[:top])
        show_table(to, title, _COLUMNS, shown, right=_COLUMNS[2:4])
        show_pairs(to, pairs)

    invocation.out.finish(document, render)


def _standing(session: "ClientSession", round_id: int) -> str:
    """Return what became of the round, as the end of a sentence."""
    from hyperfed.protocol.documents import end_of
    from hyperfed.protocol.entries import EntryKind

    end = end_of(session.check_ledger(), round_id)
    if end is None:
        return "has no result: its coordinator is not there yet, or gone"
    if end.entry.kind is EntryKind.VOID:
        return "is void"
    return "is committed: prefer its result, by `hyperfed pull`"


def _save(rows: list[dict[str, Any]], document: dict[str, Any], out: Path) -> None:
    from hyperfed.evidence.formats.csv_table import plain_cells

    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain_cells(row) for row in rows)
    replace_file(out / "gossip.csv", stream.getvalue().encode())
    replace_file(out / "gossip.json", (json.dumps(plain(document), indent=1) + "\n").encode())
