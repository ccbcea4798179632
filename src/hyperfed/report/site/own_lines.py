"""Read what single clients estimated, for the operator's own pages.

1. Only a key that opens the updates reads them: the coordinator's or an auditor's. Nothing of it
   goes into the drop-box.
2. A private round has no such lines: a value without its noise stays in the step that adds it. In
   a round of secure sums nobody sees them. A round that counts very many clients has none either:
   nobody reads a plot of a thousand lines.
"""

from dataclasses import dataclass
from typing import Any

from hyperfed.coordinator.frozen import FrozenSets
from hyperfed.coordinator.shown_clients import estimates_of
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.single_clients import ClientEstimates

__all__ = ["MOST_CLIENTS", "ClientLines", "lines_of", "own_lines"]

MOST_CLIENTS = 200
"""The most counted clients of a round whose estimates the pages have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLines:
    """Holds clients' estimates of the newest model's edges."""

    estimates: ClientEstimates
    """The estimates."""
    names: tuple[str, ...] = ()
    """The clients by number; empty where they have pseudonyms."""

    def rows(self, edge: int) -> list[tuple[str, dict[str, Any]]]:
        """Return (name, estimate) of each client that estimated an edge, the heaviest first."""
        return [
            (
                self.names[row["client"]] if self.names else f"client {row['client'] + 1}",
                row,
            )
            for row in self.estimates.of_edge(edge)
        ]


def own_lines(sets: FrozenSets, model: GlobalModel) -> ClientLines | None:
    """Return what each client estimated of a committed model's edges, under clients' names.

    Returns None where no page has that (rule 2). sets: reads frozen updates, with a key that opens
    them. Raises RoundError where an update is gone or changed (R-66), and what opening raises.
    """
    plan, frozen = sets.reader.plan(model.round), sets.reader.freeze(model.round)
    if plan is None or frozen is None or model.privacy is not None:
        return None
    policy, counted = plan.value.policy, len(frozen.value.counted)
    if policy.privacy != "none" or policy.aggregation != "seen" or counted > MOST_CLIENTS:
        return None
    coordinator = sets.coordinator(plan.value, frozen)
    coordinator.weigh()
    if coordinator.reconciliation is None:
        return None
    clients = coordinator.clients
    held = estimates_of(model.edges.keys, coordinator.reconciliation, clients, coordinator.graphs())
    return ClientLines(estimates=held, names=clients)


def lines_of(model: GlobalModel) -> ClientLines | None:
    """Return the lines that a model has for its members; None where the plan shows none."""
    return None if model.by_client is None else ClientLines(estimates=model.by_client)
