"""Write a round's figures as a Prometheus text file, for the node exporter's textfile collector.

1. A federation has one file, `hyperfed_{federation}.prom`, which each round replaces as a whole
   (docs/operations.md lists the series).
2. The file holds counts, seconds and budgets. It holds no value of the merge, and says of clients
   only how many there are.
"""

from collections.abc import Sequence

from hyperfed.report.rows import Outcome
from hyperfed.report.view import RoundView

__all__ = ["metrics_text"]


def metrics_text(view: RoundView, *, timings: Sequence[tuple[str, float]] = ()) -> str:
    """Return the file's text: OpenMetrics-compatible gauges, each with its help line.

    `timings` holds the seconds that each stage took, as (stage, seconds).
    """
    label = f'federation="{view.federation}"'
    budget = view.budget
    gauges: list[tuple[str, str, float | int]] = [
        ("round", "Number of the round that ran last", view.round),
        (
            "round_committed",
            "1 where it was committed, 0 where not",
            int(view.outcome is Outcome.COMMITTED),
        ),
        (
            "round_deadline_seconds",
            "End of its window, seconds since 1970",
            view.deadline.timestamp(),
        ),
        ("clients", "Clients of its cohort", len(view.cohort)),
        ("clients_counted", "Clients counted", len(view.counted)),
        ("clients_late", "Counted updates made for an earlier round", len(view.delayed)),
        ("clients_missing", "Clients without an update", len(view.missing)),
        ("clients_excluded", "Clients left out for their trust", len(view.excluded)),
        ("clients_silenced", "Counted clients without weight", len(view.silenced)),
        ("objects_refused", "Inbox objects refused", len(view.refused)),
        ("edges", "Edges of the merged graph", view.edge_count),
        ("ledger_entries", "Ledger entries of the round", len(view.ledger)),
        ("budget_epsilon", "Privacy budget, epsilon", float(budget.epsilon)),
        ("budget_delta", "Privacy budget, delta", float(budget.delta)),
        (
            "budget_left_ratio",
            "Share of the privacy budget that is left, by the composition that is enforced",
            budget.left_share,
        ),
    ]
    lines = [
        line for name, words, value in gauges for line in _gauge(name, words, [(label, value)])
    ]
    if timings:
        stages = [
            (f'{label},stage="{stage.replace(" ", "_")}"', seconds) for stage, seconds in timings
        ]
        lines += _gauge("stage_seconds", "Seconds that a stage of it took", stages)
    return "\n".join(lines) + "\n"


def _gauge(name: str, words: str, values: Sequence[tuple[str, float | int]]) -> list[str]:
    full = f"hyperfed_{name}"
    return [
        f"# HELP {full} {words}",
        f"# TYPE {full} gauge",
        *(f"{full}{{{labels}}} {value:.10g}" for labels, value in values),
    ]
