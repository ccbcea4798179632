"""Show a registry to people and to programs."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from hyperfed.cli.output import grouped, instant, show_pairs, show_table

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.registry.registry import KeyRecord, Registry

__all__ = ["current_round", "show_changes", "show_registry", "summary_of"]


def current_round(of: "Registry", now: datetime) -> int:
    """Return the round that runs at `now`, or 1 before genesis."""
    return of.windows.round_at(now) if now >= of.genesis else 1


def summary_of(shown: "Registry") -> dict[str, Any]:
    """Return a registry as plain data for programs."""
    from hyperfed.registry.registry import root_fingerprint

    def key(record: "KeyRecord") -> dict[str, Any]:
        return {
            "key_id": record.keys.key_id,
            "valid_from": record.valid_from,
            "valid_until": None if _open_ended(record) else record.valid_until,
        }

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
        "clients": [
            {
                "client_id": c.client_id,
                "organisation": c.organisation,
                "basket": c.basket,
                "keys": [key(r) for r in c.keys],
            }
            for c in shown.clients
        ],
        "budget": shown.budget,
        "close_windows": shown.close_windows,
        "expires": shown.expires,
        "annulled": [{"sequence": a.sequence, "digest": a.digest} for a in shown.annulled],
        "floors": shown.floors,
        "secure_sums": shown.secure_sums,
    }


def _open_ended(record: "KeyRecord") -> bool:
    return record.valid_until >= (1 << 53) - 1


def _rounds(record: "KeyRecord") -> str:
    return (
        f"from {record.valid_from}"
        if _open_ended(record)
        else f"{record.valid_from} to {record.valid_until}"
    )


def _floors(shown: "Registry") -> str:
    """Return what no plan goes below, in one line."""
    floors = shown.floors
    if floors is None:
        return "none: a plan may ask for values in the clear"
    lines = [
        f"privacy {floors.privacy}",
        "sealed bodies" if floors.sealed else "bodies may be open",
    ]
    if floors.vote_min > 0:
        lines.append(f"vote_min from {floors.vote_min:g}, fdr_max to {floors.fdr_max:g}")
    if (floors.trust_min_least, floors.trust_min_most) != (0, 1):
        lines.append(f"trust_min {floors.trust_min_least:g} to {floors.trust_min_most:g}")
    if floors.trust_nights:
        lines.append(f"trust_nights from {floors.trust_nights}")
    if floors.organisation_cap:
        lines.append(f"organisation_cap to {floors.organisation_cap:g}")
    return ", ".join(lines)


def _secure_sums(shown: "Registry") -> dict[str, str]:
    """Return who helps to open secure sums, and the blocks, as pairs; none where nobody does."""
    rules = shown.secure_sums
    if rules is None:
        return {}
    group, blocks = rules.group, "; ".join(", ".join(block) for block in rules.blocks)
    return {
        "Secure sums": f"{group.quorum} of the helpers {', '.join(group.helpers)} open one; "
        f"{group.colluding_helpers} of them may collude",
        "Blocks": f"of {rules.smallest} organisations or more: {blocks}"
        if blocks
        else "none: sums without noise in shares are not opened",
        "Noise in shares": f"counts on {rules.least_shares} shares at least, without helpers' and "
        f"those of {rules.colluding_clients} organisations that may collude",
    }


def show_changes(to: "Console", changes: list[str] | None) -> None:
    """Print what differs from the version before; None: that version is not at hand."""
    if changes is None:
        show_pairs(
            to, {"Differs": "cannot be told: the version before does not lie beside this file"}
        )
    elif changes:
        title = "What differs from the version before"
        show_table(to, title, ("change",), ((change,) for change in changes))
    else:
        show_pairs(to, {"Differs": "in nothing from the version before"})


def show_registry(to: "Console", shown: "Registry") -> None:
    """Print a registry for people."""
    from hyperfed.registry.registry import root_fingerprint

    budget = shown.budget
    show_pairs(
        to,
        {
            "Registry": f"version {shown.version} of federation {shown.federation}, issued "
            f"{instant(shown.issued)}",
            "Rounds": f"of {shown.window_s} s since {instant(shown.genesis)}",
            "Roots": f"{shown.threshold} of {len(shown.roots)} sign: "
            f"{', '.join(r.key_id for r in shown.roots)}",
            "Root fingerprint": grouped(root_fingerprint(shown.roots, shown.threshold)),
            "Budget": f"epsilon {budget.epsilon}, delta {budget.delta} per {budget.unit}; "
            f"minimum support {budget.minimum_support}"
            + (
                f"; gossip has epsilon {budget.gossip_epsilon}, delta {budget.gossip_delta} of it"
                if budget.gossip_epsilon
                else ""
            ),
            "Expires": instant(shown.expires) if shown.expires else "never",
            "Stays open": f"at most {shown.close_windows} windows after a deadline"
            if shown.close_windows
            else "without a bound",
            "Floors of every plan": _floors(shown),
            **_secure_sums(shown),
        }
        | (
            {
                "Annulled": ", ".join(
                    f"entry {a.sequence} {a.digest.hex()[:16]}" for a in shown.annulled
                )
            }
            if shown.annulled
            else {}
        ),
    )
    rows = [("coordinator", "", "", r.keys.key_id, _rounds(r)) for r in shown.coordinators]
    rows += [("auditor", "", "", r.keys.key_id, _rounds(r)) for r in shown.auditors]
    rows += [
        (c.client_id, c.organisation, c.basket, r.keys.key_id, _rounds(r))
        for c in shown.clients
        for r in c.keys
    ]
    show_table(to, "", ("party", "organisation", "basket", "key id", "rounds"), rows)
