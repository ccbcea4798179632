"""Implement `hyperfed status`: say what became of this client's updates, and whether today's is in.

The answer comes from the client's receipts, each verified against the ledger.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.files import read_public_keys
from hyperfed.cli.heads import age_of, head_compared, head_option, head_pairs, told_head
from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.operator.registry_view import current_round
from hyperfed.cli.options import client_options, last_option, output_options, store_options
from hyperfed.cli.output import instant, show_pairs, show_table
from hyperfed.client.finding import listed_lags
from hyperfed.errors import HyperfedError

if TYPE_CHECKING:
    from hyperfed.client import ClientSession
    from hyperfed.protocol.ledger import Chained
    from hyperfed.protocol.objects import Plan
    from hyperfed.protocol.receipt_objects import Receipt, Weighing
    from hyperfed.registry.registry import Registry

__all__ = ["said_of", "status"]

_CODES = {"counted": 0, "late": 0, "refused": 1, "excluded": 1}


@click.command(cls=Command)
@last_option(7, "How many ended rounds to show.")
@head_option
@client_options
@store_options
@output_options
@pass_invocation
def status(invocation: Invocation, last: int, head_text: str | None) -> None:
    """Show what became of your updates in the last rounds, and whether the open round has one.

    The answer shows your own weight, agreement and trust, and what would raise them, but nobody
    else's. It also shows the lags of the open round's plan.

    Receipts are verified: the signature, and the proof that the ledger's Merkle tree holds what
    they say. A new client learns from which round on it is counted.

    The exit code is that of the last ended round: 0 if your update was counted, 1 if it was refused
    or excluded, and 4 if none was seen, the round is void, or no round has ended yet. It is also 1
    for a revoked client, and if a receipt denies an update that you sent in time.

    \b
      hyperfed status
      hyperfed status --json --last 30
    """
    from hyperfed.client.sent import denials

    other = told_head(head_text)
    with invocation.out.step("Reading receipts and ledger"):
        session = invocation.session(signing=False)
        registry = session.reader.registry
        ledger = session.check_ledger()
        head = head_compared(ledger, other, registry)
        age = _age(registry, ledger, invocation.now)
        receipts = session.receipts(last=last)
        today = _today(invocation, session)
        denied = denials(session.memory.sent.records(), receipts)
    key = _key(invocation, session, today)
    newest = receipts[0] if receipts else None
    headline = (
        said_of(newest) if newest else "no round with a receipt for this client has ended yet"
    )
    document = {
        "client_id": session.client_id,
        "federation": registry.federation,
        "registry_version": registry.version,
        "headline": headline,
        "key": key,
        "open_round": today,
        "age": age,
        "ledger_head": head,
        "denied": [
            {"said": denial.said, "remedy": denial.remedy, **asdict(denial.sent)}
            for denial in denied
        ],
        "receipts": [
            {
                name: getattr(r, name)
                for name in (
                    "round",
                    "fate",
                    "made_for",
                    "sequence",
                    "digest",
                    "rule",
                    "reason",
                    "remedy",
                    "ledger_sequence",
                )
            }
            | _weighed(r)
            for r in receipts
        ],
    }

    def render(to: Any) -> None:
        pairs = {
            "Client": f"{session.client_id} of federation {registry.federation}",
            "Last round": headline,
        }
        if newest is not None and newest.weighing is not None:
            pairs["Weight"] = _weight_said(newest.weighing)
        if newest is not None and newest.remedy:
            pairs["What to do"] = newest.remedy
        for denial in denied:
            pairs[f"DENIED, round {denial.sent.round}"] = f"{denial.said}. {denial.remedy}"
        pairs["Today"] = today["said"]
        if today["lags"] is not None:
            pairs["Lags"] = (
                f"the plan says {listed_lags(tuple(today['lags']))}"
                if today["lags"]
                else "the plan names none: each client chooses, which does not merge as well"
            )
        pairs["Key"] = key["said"]
        pairs["Newest model"] = age["said"]
        show_pairs(to, pairs | head_pairs(head))
        if receipts:
            show_table(
                to,
                "",
                ("round", "fate", "made for", "weight", "agreement", "trust", "rule", "reason"),
                (
                    (
                        r.round,
                        r.fate.value,
                        r.made_for,
                        *(_number(value) for value in _weighed(r).values()),
                        r.rule,
                        r.reason,
                    )
                    for r in receipts
                ),
            )

    code = _CODES.get(newest.fate.value, 4) if newest else 4
    because = headline
    if denied:
        code, because = 1, denied[0].said
    if today["revoked"]:
        code, because = 1, "this client is revoked"
    invocation.out.finish(document, render, code=code, because=because)


def _age(registry: "Registry", ledger: "Sequence[Chained]", now: datetime) -> dict[str, Any]:
    """Return how many windows have ended since that of the newest committed round."""
    from hyperfed.protocol.entries import EntryKind

    committed = [c.entry.round for c in ledger if c.entry.kind is EntryKind.COMMIT]
    if not committed:
        return {"windows_behind": None, "newest_ended_round": None, "said": "none is committed yet"}
    age = age_of(registry, max(committed), now)
    return age | {"said": f"that of round {max(committed)}, {age['said']}"}


def said_of(receipt: "Receipt") -> str:
    """Return a receipt in one sentence."""
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


def _weighed(receipt: "Receipt") -> dict[str, float | None]:
    """How the round weighed this client: weight, agreement and trust, None where it is not told."""
    weighing = receipt.weighing
    return {
        "weight": weighing.weight if weighing else None,
        "agreement": weighing.agreement if weighing else None,
        "trust": weighing.trust if weighing else None,
    }


def _weight_said(weighing: "Weighing") -> str:
    """How the last round weighed this client, in one sentence; of others nothing is known here."""
    agrees = (
        ""
        if weighing.agreement is None
        else f"; your agreement with the others is {weighing.agreement:.2f}"
    )
    return f"{weighing.weight:.2f} of 1{agrees}; your trust is {weighing.trust:.2f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _lags(plan: "Plan | None") -> dict[str, Any]:
    """The lags of the open round's plan, and what is said of them; empty without a plan."""
    if plan is None:
        return {"lags": None}
    return {"lags": list(plan.policy.lags)}


def _today(invocation: Invocation, session: "ClientSession") -> dict[str, Any]:
    """Return the open round, what of ours lies in its inbox, and from which round on we count."""
    from hyperfed.client.standing import counts_from, revocation_of, says_from
    from hyperfed.protocol.object_keys import SLOTS, Keys

    registry = session.reader.registry
    round_id = current_round(registry, invocation.now)
    revoked = revocation_of(session.reader, session.client_id, round_id)
    begun = invocation.now >= registry.genesis
    plan = session.reader.plan(round_id) if begun else None
    first = counts_from(
        registry, session.client_id, running=round_id, plan=plan.value if plan else None
    )
    standing = {
        "counts_from": first,
        "revoked": None
        if revoked is None
        else {"from_round": revoked.from_round, "registry_version": revoked.version},
    }
    if not begun:
        sentence = (
            f"{revoked}; ask the operator"
            if revoked
            else f"round 1 begins at {instant(registry.genesis)}"
        )
        return {
            "round": 1,
            "open": False,
            "deadline": None,
            "updates": 0,
            "said": sentence,
            **_lags(None),
            **standing,
        }
    sent_count = sum(1 for _ in session.store.list(Keys.inbox(round_id, session.client_id)))
    lies = f"; what lies there for round {round_id} will be refused" if sent_count else ""
    if revoked is not None:
        sentence = f"{revoked}{lies}; ask the operator"
    elif first is not None and first > round_id:
        sentence = (
            f"you count from {says_from(registry, first)}: round {round_id} does not count "
            f"you{lies}"
        )
    elif plan is None:
        sentence = f"round {round_id} is not open yet"
    elif sent_count:
        sentence = (
            f"your update for round {round_id} is in ({sent_count} of {SLOTS} slots used); it is "
            f"counted after {instant(plan.value.deadline)}"
        )
    else:
        sentence = f"round {round_id} waits for your update until {instant(plan.value.deadline)}"
    return {
        "round": round_id,
        "open": plan is not None,
        "deadline": registry.windows.deadline(round_id),
        "updates": sent_count,
        "said": sentence,
        **_lags(plan.value if plan else None),
        **standing,
    }


def _key(invocation: Invocation, session: "ClientSession", today: dict[str, Any]) -> dict[str, Any]:
    """Return from which round on the configured key speaks.

    This reads only the key's public half, which needs no passphrase.
    """
    path: Path | None = invocation.settings.file("client.key")
    if path is None:
        return {"key_id": None, "registered": None, "said": "none is configured"}
    try:
        public = read_public_keys(path)
    except HyperfedError as error:
        return {"key_id": None, "registered": None, "said": str(error)}
    round_id, first = today["round"], today["counts_from"]
    records = [r for r in session.reader.registry.keys_of(session.client_id) if r.keys == public]
    valid = any(r.valid_in(round_id) for r in records)
    start = min(
        (
            max(r.valid_from, first)
            for r in records
            if first is not None and r.valid_until >= max(r.valid_from, first)
        ),
        default=None,
    )
    if start is not None:
        sentence = f"{public.key_id} is registered" + (
            f", and counts from round {start} on" if start > round_id else f" for round {round_id}"
        )
    elif today["revoked"]:
        sentence = f"{public.key_id} speaks no more"
    else:
        sentence = f"{public.key_id} is NOT registered for round {round_id}"
    return {"key_id": public.key_id, "registered": valid, "said": sentence}
