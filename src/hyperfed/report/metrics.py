"""Export a federation's figures to Prometheus, by a file of the node exporter's collector.

1. A federation has one file, `hyperfed_{federation}.prom`, which each round replaces as a whole.
   Prometheus then asks the node exporter, and nothing of ours listens (docs/adr/0072).
2. The file holds counts, seconds, bytes and budgets. It holds no value of the merge, and nothing
   that is a single client's: trust is a median over at least `FEWEST` clients.
3. A private round exports nothing that a message's content moves before noise: no trust, no sizes
   of messages, and no seconds of the stages that read them (`_SILENT_STAGES`).
4. Ages are exported as instants, because a file that nobody replaces any more would keep an age
   young for ever.

The text is written by prometheus_client, which is imported when it is needed (extra `metrics`).
What it does not do: write the file (`tasks.report_files` and `hyperfed metrics` do).
"""

import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hyperfed.errors import ConfigError
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.ledger import Chained
from hyperfed.report.rows import Outcome
from hyperfed.report.view import RoundView

if TYPE_CHECKING:
    from prometheus_client import Metric

__all__ = ["file_name", "metrics_text"]

FEWEST = 3
"""Below so many clients with trust, or below the minimum support, no median of it is exported."""
_SILENT_STAGES = ("validate", "score trust", "shuffle", "reconcile")
"""Stages whose seconds a private round does not export: they grow with what clients sent, and
drawing noise takes a time that depends on the draws (docs/privacy.md).
"""
_ENDS = {EntryKind.COMMIT: "committed", EntryKind.VOID: "void"}


def file_name(federation: str) -> str:
    """Return the name of a federation's file."""
    return f"hyperfed_{federation}.prom"


def metrics_text(
    view: RoundView, ledger: Sequence[Chained], *, timings: Sequence[tuple[str, float]] = ()
) -> str:
    """Return the text of a federation's file after the round of `view`.

    `ledger` is that of the drop-box. `timings` holds the seconds that each stage of the round took,
    as (stage, seconds). Raises ConfigError where prometheus_client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ImportError as exc:
        raise ConfigError(
            "needs the Python package 'prometheus-client', which is not installed",
            subject="metrics",
            remedy="pip install prometheus-client",
        ) from exc
    registry = CollectorRegistry()
    registry.register(_Figures(view, ledger, timings))
    return generate_latest(registry).decode()


class _Figures:
    """Collects the figures, in the form that prometheus_client's registry asks for."""

    def __init__(
        self, view: RoundView, ledger: Sequence[Chained], timings: Sequence[tuple[str, float]]
    ) -> None:
        self._view, self._ledger, self._timings = view, ledger, timings
        self._private = view.policy is not None and view.policy.privacy != "none"

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        federation = self._view.federation
        for name, words, value in (*self._round(), *self._people(), *self._budget()):
            family: Any = GaugeMetricFamily(f"hyperfed_{name}", words, labels=["federation"])
            family.add_metric([federation], value)
            yield family
        rounds = CounterMetricFamily(
            "hyperfed_rounds", "Rounds that have ended", labels=["federation", "outcome"]
        )
        ended = [_ENDS[c.entry.kind] for c in self._ledger if c.entry.kind in _ENDS]
        for outcome in _ENDS.values():
            rounds.add_metric([federation, outcome], ended.count(outcome))
        yield rounds
        stages = GaugeMetricFamily(
            "hyperfed_stage_seconds",
            "Seconds that a stage of the round took",
            labels=["federation", "stage"],
        )
        for stage, seconds in self._timings:
            if not (self._private and stage in _SILENT_STAGES):
                stages.add_metric([federation, stage.replace(" ", "_")], seconds)
        if stages.samples:
            yield stages

    def _round(self) -> Iterator[tuple[str, str, float]]:
        view = self._view
        yield "round", "Number of the round that ran last", view.round
        committed = view.outcome is Outcome.COMMITTED
        yield "round_committed", "1 where it was committed, 0 where not", committed
        end = view.deadline.timestamp()
        yield "round_deadline_seconds", "End of its window, seconds since 1970", end
        window_s = (view.deadline - view.opens).total_seconds()
        yield "window_seconds", "Length of a window", window_s
        newest = max(
            (c.entry.round for c in self._ledger if c.entry.kind is EntryKind.COMMIT), default=0
        )
        if newest:
            yield "committed_round", "Number of the newest committed round", newest
            yield (
                "committed_deadline_seconds",
                "End of the newest committed round's window, seconds since 1970",
                end - (view.round - newest) * window_s,
            )
        yield "edges", "Edges of the merged graph", view.edge_count
        yield "ledger_entries", "Ledger entries of the round", len(view.ledger)
        if not self._private:
            yield "updates_bytes", "Bytes in the round's inbox", view.arrived_bytes

    def _people(self) -> Iterator[tuple[str, str, float]]:
        view = self._view
        yield "clients", "Clients of its cohort", len(view.cohort)
        yield "quorum", "Clients that must be counted", view.quorum
        yield "clients_counted", "Clients counted", len(view.counted)
        yield "clients_late", "Counted updates made for an earlier round", len(view.delayed)
        yield "clients_missing", "Clients without an update", len(view.missing)
        yield "clients_excluded", "Clients left out for their trust", len(view.excluded)
        yield "objects_refused", "Inbox objects refused", len(view.refused)
        if self._private:
            return
        yield "clients_silenced", "Counted clients without weight", len(view.silenced)
        yield "clients_barred", "Clients that the next round will leave out", len(view.barred)
        trust = [row.after for row in view.trust if row.after is not None]
        if len(trust) >= max(FEWEST, view.minimum_support):
            yield (
                "trust_median",
                "Median of the clients' trust, in [0, 1]",
                statistics.median(trust),
            )

    def _budget(self) -> Iterator[tuple[str, str, float]]:
        budget = self._view.budget
        yield "budget_epsilon", "Privacy budget, epsilon", float(budget.epsilon)
        yield "budget_delta", "Privacy budget, delta", float(budget.delta)
        yield (
            "budget_left_ratio",
            "Share of the privacy budget that is left, by the composition that is enforced",
            budget.left_share,
        )
        if budget.nights_left is not None:
            yield (
                "budget_left_rounds",
                "Rounds like this one that the budget still pays for",
                budget.nights_left,
            )
