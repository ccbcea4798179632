"""Apply the rules to sparse edge tables: compute how much each client counts, from its votes.

Clients need not report the same edges.

1. A client's vector is its votes. Not reporting an edge that it could measure is a vote of 0
   (DESIGN section 5). Two clients are compared on the edges that both could measure, and their
   squared distance is scaled up to all edges. Where there is no such edge, they are as far apart as
   any two.
2. Rules that combine clients (Krum, Multi-Krum, geometric median, MDA, SMEA, centered clipping)
   give their coefficients as weights. Bulyan gives weight to the clients that it chooses, and votes
   are then trimmed edge by edge. Median and trimmed mean work edge by edge. Base weights
   (staleness, organisation caps) enter them as shares (`merge.shares`).
3. Whatever the rule, agreement and consistency are bounded trust's, so that reputation means the
   same under every rule.
4. Below the rule's breakdown point a BreakdownError is raised.

What it does not do: it does not merge (`reconciler`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hyperfed.aggregation.adaptive import Adaptive
from hyperfed.aggregation.bounded_trust import trust_of
from hyperfed.aggregation.bulyan import Bulyan
from hyperfed.aggregation.catalogue import build_rule
from hyperfed.aggregation.centered_clipping import CenteredClipping
from hyperfed.aggregation.geometric_median import GeometricMedian, barycentric_median
from hyperfed.aggregation.krum import Krum, MultiKrum, krum_order
from hyperfed.aggregation.rule import checked_weights
from hyperfed.aggregation.smallest_subset import MinimumDiameter, SmallestEigenvalue
from hyperfed.errors import AggregationError
from hyperfed.merge.ranges import InnerProducts, Ranges
from hyperfed.merge.rows import COORDINATE_RULES

__all__ = ["COORDINATE_RULES", "EdgeWeights", "edge_weights", "vote_inner_products"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EdgeWeights:
    """Holds how much each client counts under a rule."""

    weight: Floats
    """The weight that the rule gives to each client, float64[clients] in [0, 1]."""
    agreement: Floats
    """The agreement of bounded trust, float64[clients] in [-1, 1]."""
    consistency: Floats
    """The weight that bounded trust gives the client, float64[clients] in [0, 1]."""
    assessed: npt.NDArray[np.bool_]
    """Whether the client's votes say anything about it (`Trust.assessed`), bool[clients]."""


def edge_weights(
    name: str,
    f: int,
    ranges: Ranges,
    *,
    losses: Sequence[float | None],
    shares: Floats | None = None,
    samples: Floats | None = None,
    groups: Ints | None = None,
) -> EdgeWeights:
    """Return the clients' weights under the rule `name`.

    `ranges` are of the clients' votes. `losses` holds each client's loss, or None where it claims
    none. `shares`, `samples` and `groups` are as in `trust_of`. Raises AggregationError where the
    rule is unknown or lacks a loss, and BreakdownError below the breakdown point.
    """
    rule = build_rule(name, f=f)
    clients = ranges.eligible_voters.clients
    rule.check(clients)
    result = trust_of(ranges, shares=shares, samples=samples, groups=groups)
    if name == "bounded-trust":
        return EdgeWeights(
            weight=result.weight,
            agreement=result.agreement,
            consistency=result.weight,
            assessed=result.assessed,
        )
    weight = np.ones(clients)
    if isinstance(rule, Adaptive):
        if any(loss is None for loss in losses):
            raise AggregationError(
                f"{sum(loss is None for loss in losses)} of {clients} clients claim no loss",
                subject=name,
                remedy="Have each client claim it with Claims(loss=...)",
            )
        weight = rule.shares(
            checked_weights(
                np.array(losses, dtype=np.float64), clients, name, what="losses", some=False
            )
        )
    elif name not in ("mean", "median", "trimmed-mean"):
        inner, squared = vote_inner_products(ranges)
        if isinstance(rule, Krum | MultiKrum):
            keep = 1 if isinstance(rule, Krum) else clients - f
            weight = np.zeros(clients)
            weight[krum_order(squared, clients - f - 2)[:keep]] = 1.0
        elif isinstance(rule, Bulyan):
            weight = np.zeros(clients)
            weight[rule.chosen(squared)] = 1.0
        elif isinstance(rule, MinimumDiameter | SmallestEigenvalue):
            weight = np.zeros(clients)
            weight[rule.subset(squared)] = 1.0
        elif isinstance(rule, GeometricMedian):
            weight = barycentric_median(squared, np.full(clients, 1 / clients))
        elif isinstance(rule, CenteredClipping):
            weight = rule.coefficients(inner, np.full(clients, 1 / clients))
    largest = float(weight.max())
    return EdgeWeights(
        weight=weight / largest if largest > 0 else np.ones(clients),
        agreement=result.agreement,
        consistency=result.weight,
        assessed=result.assessed,
    )


def vote_inner_products(ranges: Ranges) -> tuple[Floats, Floats]:
    """Return the inner products and the squared distances, float64[clients, clients] each.

    They are over the edges that both clients could measure, scaled up to all edges. Sums are of
    whole numbers (`merge.ranges`): they do not depend on how ranges are cut.
    """
    n = ranges.eligible_voters.clients
    sums, total = (
        {name: np.zeros((n, n), dtype=np.int64) for name in ("inner", "finer", "own", "joint")},
        0,
    )
    for part in ranges.map(InnerProducts()):
        total += int(part["keys"][0])
        for name, value in sums.items():
            value += part[name]
    inner = np.asarray(sums["inner"] * 2.0**-40 + sums["finer"] * 2.0**-60, dtype=np.float64)
    squares = np.asarray(sums["own"] * 2.0**-40, dtype=np.float64)
    joint = sums["joint"]
    scale: Floats = np.zeros((n, n))
    np.divide(total, joint, out=scale, where=joint > 0)
    squared: Floats = np.zeros((n, n))
    np.multiply(np.maximum(squares + squares.T - 2 * inner, 0.0), scale, out=squared)
    squared[joint == 0] = squared.max(initial=0.0)
    np.fill_diagonal(squared, 0.0)
    return inner * scale, (squared + squared.T) / 2
