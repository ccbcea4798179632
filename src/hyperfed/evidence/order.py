"""Look for cycles, which formats of acyclic graphs cannot hold."""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from hyperfed.errors import ConfigError
from hyperfed.evidence.table import EvidenceRow

__all__ = ["cycle_in", "refuse_cycle"]


def cycle_in(rows: Sequence[EvidenceRow]) -> tuple[str, ...]:
    """Return the variables of a cycle of directed edges at lag 0; empty where there is no cycle."""
    sorter = TopologicalSorter[str]()
    for row in rows:
        if row.lag == 0 and row.endpoints in ("-->", "<--"):
            ends = (row.source, row.target)
            sorter.add(*(reversed(ends) if row.endpoints == "-->" else ends))
    try:
        sorter.prepare()
    except CycleError as exc:
        return tuple(exc.args[1])
    return ()


def refuse_cycle(rows: Sequence[EvidenceRow], what: str) -> None:
    """Raise ConfigError where the edges at lag 0 have a cycle."""
    cycle = cycle_in(rows)
    if cycle:
        raise ConfigError(
            f"cannot hold the cycle {' -> '.join(reversed(cycle))}"[:300],
            subject=what,
            remedy="Export to a format that holds any graph, such as graphml or tetrad",
        )
