"""What a round came to as plain data: what the flow returns, the command prints with --json, and automations read.

Counts, names and digests only: no value of the merge, nothing that would have to be kept from Prefect's database.
"""

from typing import Any

from hyperfed.report.summary import headline
from hyperfed.report.view import RoundView

__all__ = ["outcome_of"]


def outcome_of(view: RoundView) -> dict[str, Any]:
    """The round's outcome as JSON-ready data."""
    return {
        "round": view.round,
        "federation": view.federation,
        "outcome": view.outcome.value,
        "headline": headline(view),
        "cohort": len(view.cohort),
        "quorum": view.quorum,
        "counted": len(view.counted),
        "delayed": [row.client for row in view.delayed],
        "missing": list(view.missing),
        "excluded": list(view.excluded),
        "silenced": list(view.silenced),
        "refused": [{"key": row.key, "rule": row.rule, "reason": row.reason} for row in view.refused],
        "edges": view.edge_count,
        "digests": {name: digest.hex() for name, digest in view.digests},
    }
