"""Return a round's outcome as plain data, for the flow, for `--json` and for automations.

The data are counts, names and digests. They hold no value of the merge, and nothing that Prefect's
database must not see.
"""

from collections.abc import Sequence
from typing import Any

from hyperfed.report.summary import headline
from hyperfed.report.view import RoundView

__all__ = ["outcome_of"]


def outcome_of(view: RoundView, *, unwritten: Sequence[str] = ()) -> dict[str, Any]:
    """Return the round's outcome as data that JSON can carry.

    unwritten: what says which figures and pages could not be written.
    """
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
        "refused": [
            {"key": row.key, "rule": row.rule, "reason": row.reason} for row in view.refused
        ],
        "edges": view.edge_count,
        "digests": {name: digest.hex() for name, digest in view.digests},
        "unwritten": list(unwritten),
    }
