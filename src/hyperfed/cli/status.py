"""`hyperfed status`: what became of this client's updates, from its receipts, each verified against the ledger; and whether today's is in."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.files import read_public_keys
from hyperfed.cli.invocation import Invocation, client_options, output_options, pass_invocation, store_options
from hyperfed.cli.output import instant, show_pairs, show_table
from hyperfed.errors import HyperfedError

if TYPE_CHECKING:
    from hyperfed.client import ClientSession
    from hyperfed.protocol.objects import Receipt

__all__ = ["said_of", "status"]

_CODES = {"counted": 0, "late": 0, "refused": 1, "excluded": 1}


@click.command()
@click.option("--last", type=click.IntRange(min=1), default=7, show_default=True, help="How many ended rounds to show.")
@client_options
@store_options
@output_options
@pass_invocation
def status(invocation: Invocation, last: int) -> int:
    """Say what became of your updates in the last rounds, and whether the open round has one of yours.

    Receipts are verified: the signature, and the proof that the ledger's Merkle tree holds what they say.
    The exit code is that of the last ended round: 0 counted, 1 refused or excluded, 4 no update was seen, the round is void, or none has ended yet.

    \b
      hyperfed status
      hyperfed status --json --last 30
    """
    with invocation.out.step("Reading receipts and ledger"):
        session = invocation.session(signing=False)
        registry = session.reader.registry
        receipts = session.receipts(last=last)
        today = _today(invocation, session)
    key = _key(invocation, session, today["round"])
    newest = receipts[0] if receipts else None
    headline = said_of(newest) if newest else "no round with a receipt for this client has ended yet"
    document = {
        "client_id": session.client_id,
        "federation": registry.federation,
        "registry_version": registry.version,
        "headline": headline,
        "key": key,
        "open_round": today,
        "receipts": [
            {name: getattr(r, name) for name in ("round", "fate", "made_for", "sequence", "digest", "rule", "reason", "remedy", "ledger_sequence")}
            for r in receipts
        ],
    }

    def render(to: Any) -> None:
        pairs = {"Client": f"{session.client_id} of federation {registry.federation}", "Last round": headline}
        if newest is not None and newest.remedy:
            pairs["What to do"] = newest.remedy
        pairs["Today"] = today["said"]
        pairs["Key"] = key["said"]
        show_pairs(to, pairs)
        if receipts:
            show_table(to, "", ("round", "fate", "made for", "rule", "reason"), ((r.round, r.fate.value, r.made_for, r.rule, r.reason) for r in receipts))

    return invocation.out.finish(document, render, code=_CODES.get(newest.fate.value, 4) if newest else 4)


def said_of(receipt: "Receipt") -> str:
    """A receipt in one sentence."""
    rule = f" [{receipt.rule}]" if receipt.rule else ""
    match receipt.fate.value:
        case "counted":
            return f"counted in round {receipt.round}"
        case "late":
            return f"counted in round {receipt.round}: {receipt.reason}"
        case "refused":
            return f"refused in round {receipt.round} because {receipt.reason}{rule}"
        case "excluded":
            return f"excluded from round {receipt.round} because {receipt.reason}{rule}"
        case "void":
            return f"round {receipt.round} has no result: {receipt.reason}{rule}"
    return f"not seen in round {receipt.round}: {receipt.reason}"


def _today(invocation: Invocation, session: "ClientSession") -> dict[str, Any]:
    """The open round and what of ours lies in its inbox."""
    from hyperfed.rounds import SLOTS, Keys

    registry = session.reader.registry
    if invocation.now < registry.genesis:
        return {"round": 1, "open": False, "deadline": None, "updates": 0, "said": f"round 1 begins at {instant(registry.genesis)}"}
    round_id = registry.windows.round_at(invocation.now)
    plan = session.reader.plan(round_id)
    mine = sum(1 for _ in session.store.list(Keys.inbox(round_id, session.client_id)))
    if plan is None:
        said = f"round {round_id} is not open yet"
    elif mine:
        said = f"your update for round {round_id} is in ({mine} of {SLOTS} slots used); it is counted after {instant(plan.value.deadline)}"
    else:
        said = f"round {round_id} waits for your update until {instant(plan.value.deadline)}"
    return {"round": round_id, "open": plan is not None, "deadline": registry.windows.deadline(round_id), "updates": mine, "said": said}


def _key(invocation: Invocation, session: "ClientSession", round_id: int) -> dict[str, Any]:
    """Whether the configured key may speak in the round. Its public half needs no passphrase."""
    path: Path | None = invocation.settings.file("client.key")
    if path is None:
        return {"key_id": None, "registered": None, "said": "none is configured"}
    try:
        public = read_public_keys(path)
    except HyperfedError as error:
        return {"key_id": None, "registered": None, "said": str(error)}
    record = next((c for c in session.reader.registry.clients if c.client_id == session.client_id), None)
    valid = record is not None and any(r.keys == public and r.valid_in(round_id) for r in record.keys)
    said = f"{public.key_id} is " + ("registered" if valid else "NOT registered") + f" for round {round_id}"
    return {"key_id": public.key_id, "registered": valid, "said": said}
