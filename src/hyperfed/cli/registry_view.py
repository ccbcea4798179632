"""A registry as people and programs read it."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from hyperfed.cli.output import grouped, instant, show_pairs, show_table

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.registry import KeyRecord, Registry

__all__ = ["current_round", "show_registry", "summary_of"]


def current_round(of: "Registry", now: datetime) -> int:
    """The round that runs at `now`; 1 before genesis."""
    return of.windows.round_at(now) if now >= of.genesis else 1


def summary_of(shown: "Registry") -> dict[str, Any]:
    """A registry for programs."""
    from hyperfed.registry import root_fingerprint

    def key(record: "KeyRecord") -> dict[str, Any]:
        return {"key_id": record.keys.key_id, "valid_from": record.valid_from, "valid_until": None if _open_ended(record) else record.valid_until}

    return {
        "federation": shown.federation,
        "version": shown.version,
        "previous": shown.previous,
        "issued": shown.issued,
        "genesis": shown.genesis,
        "window_s": shown.window_s,
        "root_fingerprint": root_fingerprint(shown.roots, shown.threshold),
        "threshold": shown.threshold,
        "roots": [r.key_id for r in shown.roots],
        "coordinators": [key(r) for r in shown.coordinators],
        "auditors": [key(r) for r in shown.auditors],
        "clients": [{"client_id": c.client_id, "organisation": c.organisation, "basket": c.basket, "keys": [key(r) for r in c.keys]} for c in shown.clients],
        "budget": shown.budget,
    }


def _open_ended(record: "KeyRecord") -> bool:
    return record.valid_until >= (1 << 53) - 1


def _rounds(record: "KeyRecord") -> str:
    return f"from {record.valid_from}" if _open_ended(record) else f"{record.valid_from} to {record.valid_until}"


def show_registry(to: "Console", shown: "Registry") -> None:
    """A registry for people."""
    from hyperfed.registry import root_fingerprint

    budget = shown.budget
    show_pairs(
        to,
        {
            "Registry": f"version {shown.version} of federation {shown.federation}, issued {instant(shown.issued)}",
            "Rounds": f"of {shown.window_s} s since {instant(shown.genesis)}",
            "Roots": f"{shown.threshold} of {len(shown.roots)} sign: {', '.join(r.key_id for r in shown.roots)}",
            "Root fingerprint": grouped(root_fingerprint(shown.roots, shown.threshold)),
            "Budget": f"epsilon {budget.epsilon}, delta {budget.delta} per {budget.unit}; minimum support {budget.minimum_support}",
        },
    )
    rows = [("coordinator", "", "", r.keys.key_id, _rounds(r)) for r in shown.coordinators]
    rows += [("auditor", "", "", r.keys.key_id, _rounds(r)) for r in shown.auditors]
    rows += [(c.client_id, c.organisation, c.basket, r.keys.key_id, _rounds(r)) for c in shown.clients for r in c.keys]
    show_table(to, "", ("party", "organisation", "basket", "key id", "rounds"), rows)
