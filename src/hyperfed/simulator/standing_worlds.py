"""Make the worlds in which honest clients were once silenced or expelled, and two with liars.

Each gives fresh data every night: every client's effects differ a little from the common ones, and
are drawn anew. docs/statistics.md shows thirty rounds of each, and a test plays them with fixed
seeds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.simulator.statistics import client_graph, sparse_coefficients

__all__ = ["StandingWorld", "standing_worlds"]

_TAU2 = 0.0025  # how much honest clients differ
_MOST = tuple(f"site-{i}" for i in range(9))

Floats = npt.NDArray[np.float64]
Night = Callable[[np.random.Generator], dict[str, HypergraphStore]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingWorld:
    """Describes a world whose clients stand or fall over many rounds."""

    name: str
    """What is odd about it."""
    night: Night
    """Makes the graphs of a night, by client."""
    liars: tuple[str, ...] = ()
    """The clients that attack."""
    baskets: Mapping[str, str] | None = None
    """The basket of each client; None: all are of one."""


def standing_worlds(
    rng: np.random.Generator, *, variables: int = 6, rows: int = 200, bootstraps: int = 10
) -> tuple[StandingWorld, ...]:
    """Return the worlds, with clients of so many rows where nothing else is said."""
    common, other = sparse_coefficients(rng, variables), sparse_coefficients(rng, variables)
    noise = np.zeros((variables, variables))

    def nights(clients: dict[str, tuple[Floats, int]]) -> Night:
        return lambda g: {
            client: client_graph(coefficients, n, g, tau2=_TAU2, bootstraps=bootstraps)
            for client, (coefficients, n) in clients.items()
        }

    usual = dict.fromkeys(_MOST, (common, rows))
    large = (common, 50 * (rows // 2))
    half = dict.fromkeys(_MOST[:8], (common, rows // 2)) | {"odd": large, "odd-2": large}
    apart = dict.fromkeys(_MOST[:7], (common, rows))
    apart |= dict.fromkeys(("odd", "odd-2", "odd-3"), (other, rows))
    baskets = {client: "apart" if client.startswith("odd") else "others" for client in apart}
    pure, a_third = nights(dict.fromkeys(_MOST, (noise, 40))), _MOST[6:]

    def silent(g: np.random.Generator) -> dict[str, HypergraphStore]:
        graphs = nights(usual)(g)
        one = graphs[_MOST[0]]
        nothing = one.edges.take(np.zeros(0, dtype=np.int64))
        return graphs | {"odd": replace(one, edges=nothing)}

    return (
        StandingWorld(name="two clients with 50 times the data", night=nights(half)),
        *(
            StandingWorld(
                name=f"a client with {n} rows beside {rows}",
                night=nights(usual | {"odd": (common, n)}),
            )
            for n in (14, 30, 60)
        ),
        StandingWorld(name="a client that finds nothing", night=silent),
        StandingWorld(
            name="a domain of 3 beside 7, in baskets", night=nights(apart), baskets=baskets
        ),
        StandingWorld(name="pure noise", night=pure),
        StandingWorld(name="pure noise, a third lies", night=pure, liars=a_third),
        StandingWorld(name="a third lies", night=nights(usual), liars=a_third),
    )
