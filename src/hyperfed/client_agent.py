"""Wrap a discovery engine for the federation: everything is injected, and there is no I/O.

1. The agent shares the engine's edges in the round's vocabulary, at the policy's lags, at most
   `n_proposals` of them, the strongest by |vote|, then |effect|. Edges below the policy's `g_min`
   or `stability_min` carry an estimate and its interval, and no vote: an effect that is pooled only
   over clients that found the edge strong would be too large. Of these the first by key are taken
   where not all fit, so that all clients leave out the same. A private round takes no such rows.
   Raw data never enter an update.
   Edges that the policy's knowledge forbids are left out. Where the round is not private, what the
   engine found beside them goes along: marks, shared causes, experiments, interactions.
2. What comes back stays apart: `local` is the client's own model, `global_model` the federation's;
   neither overwrites the other. `notes` is what the engine had to say of its run.
3. `outlook` weighs them against each other. Where both know an edge, the client's best estimate is
   its own effect shrunk towards the federation's, by how much clients differ. The weight of its own
   is (tau² + se_g²) / (tau² + se_g² + se_l²), the posterior mean under the random-effects model
   (Normand 1999, Stat. Med. 18, eq. 14). Without intervals the estimate is its own effect. Signs
   that differ are flagged as a conflict, never averaged away in silence, and what only one side
   knows is shown as such.

What it does not do: it does not sign, send or fetch (`client.session`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.engines.base import Discovery, Engine
from hyperfed.engines.structure import to_hyperedges, to_semantic
from hyperfed.errors import ConfigError, EngineError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.kernels.layout import Z95
from hyperfed.packets import CausalSemanticPack, Claims, PolicyPack, Update
from hyperfed.packets.knowledge import forbidden_edges
from hyperfed.registry.windows import check_client_id
from hyperfed.statistics import Statistics
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

__all__ = [
    "FederationClientAgent",
    "Outlook",
    "Standing",
    "discovered",
    "shareable",
    "statistics_update",
]


class Standing(StrEnum):
    """Says how an edge stands between a client and its federation."""

    AGREE = "agree"
    CONFLICT = "conflict"
    LOCAL_ONLY = "local only"
    GLOBAL_ONLY = "global only"
    UNMEASURED = "global only, not measured here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Holds one edge as a client sees it."""

    source: str
    """The name of the source."""
    target: str
    """The name of the target."""
    lag: int
    """The lag, in time steps."""
    standing: Standing
    """How the edge stands between the client and its federation."""
    local: float | None
    """The client's own effect, or None where it has none."""
    shared: float | None
    """The federation's effect, or None where it has none."""
    best: float
    """The client's best estimate of the effect, by rule 3."""
    own_weight: float
    """The weight of the client's own effect in that estimate, in [0, 1]."""
    vote: float | None
    """The federation's vote on the edge, or None where it has none."""


def discovered(engine: Engine, intervened: Sequence[str] = ()) -> Discovery:
    """Run an engine and return what it found, without edges into what an experiment set.

    `intervened` are the variables that an experiment set, beside those that the engine names.
    Raises EngineError for another result than a discovery.
    """
    discovery = engine.discover()
    if not isinstance(discovery, Discovery):
        raise EngineError(
            f"discover() returned a {type(discovery).__name__}",
            subject=type(engine).__name__,
            remedy="Return a hyperfed.engines.Discovery from it",
        )
    if intervened:
        discovery = replace(discovery, intervened=(*discovery.intervened, *intervened))
    return discovery.without_edges_into_intervened()


def shareable(
    edges: EdgeTable, policy: PolicyPack, vocabulary: Vocabulary | None = None
) -> EdgeTable:
    """Return the edges that a policy lets a client share (rule 1 of the module).

    Edges that its knowledge forbids are left out where `vocabulary` says what indices mean.
    """
    allowed = np.isin(edges.lag, policy.allowed_lags)
    if vocabulary is not None:
        allowed &= ~forbidden_edges(policy.knowledge, vocabulary.names, edges.source, edges.target)
    strong = (np.abs(edges.effect) >= policy.g_min) & (edges.stability >= policy.stability_min)
    rows = np.flatnonzero(strong & allowed)
    if len(rows) > policy.n_proposals:
        strongest = np.lexsort((rows, -np.abs(edges.effect[rows]), -np.abs(edges.vote[rows])))[
            : policy.n_proposals
        ]
        rows = np.sort(rows[strongest])
    if policy.privacy != "none" or edges.ci_low is None or edges.ci_high is None:
        return edges.take(rows)
    weak = np.flatnonzero(~strong & allowed & (edges.ci_high > edges.ci_low))
    rows = np.sort(np.concatenate([rows, weak[: policy.n_proposals - len(rows)]]))
    return edges.take(rows).with_votes(strong[rows])


def _strong(hyperedges: HyperedgeTable, policy: PolicyPack) -> HyperedgeTable | None:
    """Return the hyperedges that a policy lets a client share, or None where none is left."""
    fit = (
        (np.abs(hyperedges.effect) >= policy.g_min)
        & (hyperedges.stability >= policy.stability_min)
        & np.isin(hyperedges.lag, policy.allowed_lags)
    )
    rows = np.flatnonzero(fit)
    if len(rows) > policy.n_proposals:
        strength = hyperedges.confidence[rows] * hyperedges.stability[rows]
        rows = np.sort(rows[np.lexsort((rows, -strength))[: policy.n_proposals]])
    return hyperedges.take(rows) if len(rows) else None


class FederationClientAgent:
    """Runs a client's engine, and keeps its own model beside the federation's.

    Args:
        engine: Any object with `discover() -> Discovery`.
        client_id: The client's id, as registered.
        policy: The round's policy; None stands for the defaults.
        vocabulary: The round's vocabulary; None stands for the engine's own variables in their
            order, which is enough for a first look.
        intervened: The variables that an experiment set in the data, beside those that the engine
            names.

    Raises ConfigError for an engine without `discover`.
    """

    def __init__(
        self,
        engine: Engine,
        client_id: str,
        *,
        policy: PolicyPack | None = None,
        vocabulary: Vocabulary | None = None,
        intervened: Sequence[str] = (),
    ) -> None:
        if not callable(getattr(engine, "discover", None)):
            raise ConfigError(
                f"a {type(engine).__name__} has no method discover()",
                subject="engine",
                remedy="Give any object with `discover() -> hyperfed.engines.Discovery`",
            )
        check_client_id(client_id)
        self.engine, self.client_id = engine, client_id
        self.policy = policy or PolicyPack()
        self.vocabulary = vocabulary
        self.intervened = tuple(intervened)
        self.local: HypergraphStore | None = None
        self.notes: tuple[str, ...] = ()
        self.global_model: GlobalModel | None = None

    def get_shareable_update(
        self, *, semantic: CausalSemanticPack | None = None, claims: Claims | None = None
    ) -> Update:
        """Run the engine and return what may be shared.

        Raises EngineError where the data or the engine's result cannot be used.
        """
        discovery = discovered(self.engine, self.intervened)
        self.notes = discovery.notes
        vocabulary = self.vocabulary or Vocabulary.of(*discovery.variables)
        measured, edges = discovery.to_edges(vocabulary)
        self.local = HypergraphStore(
            edges=edges, measured=measured, vocabulary=vocabulary, lags=discovery.lags
        )
        shared, hyperedges = shareable(edges, self.policy, vocabulary), None
        if self.policy.privacy == "none":  # a private round takes edges and nothing else
            semantic = semantic or to_semantic(discovery, vocabulary, shared)
            hyperedges = to_hyperedges(discovery, vocabulary)
        return Update(
            measured=measured,
            edges=shared,
            hyperedges=None if hyperedges is None else _strong(hyperedges, self.policy),
            semantic=semantic,
            claims=claims or Claims(),
            lags=tuple(lag for lag in discovery.lags if lag in self.policy.allowed_lags),
        )

    def apply_global_model(self, global_model: GlobalModel) -> None:
        """Keep the federation's model beside the client's own.

        Raises ConfigError for a model of an earlier round than the one held.
        """
        if self.global_model is not None and global_model.round < self.global_model.round:
            raise ConfigError(
                f"is of round {global_model.round}, the one held is of round "
                f"{self.global_model.round}",
                subject="global model",
                rule="R-50",
                remedy="Pull again: somebody served an old broadcast",
            )
        self.global_model = global_model

    def outlook(self) -> list[Outlook]:
        """Return every edge of either side, strongest federation vote first (rule 3).

        Raises ConfigError before both sides are there.
        """
        if self.local is None or self.global_model is None:
            missing = "get_shareable_update()" if self.local is None else "apply_global_model(...)"
            raise ConfigError(
                "needs the client's own model and the federation's",
                subject="outlook",
                remedy=f"Call {missing} first",
            )
        mine, theirs = self._in_global_terms(self.local), self.global_model
        ours = theirs.edges
        keys = np.union1d(mine.keys, ours.keys)
        at_mine, at_ours = _positions(mine.keys, keys), _positions(ours.keys, keys)
        rows = [self._row(mine, int(i), int(j)) for i, j in zip(at_mine, at_ours, strict=True)]
        return sorted(rows, key=lambda r: (-abs(r.vote or 0.0), r.source, r.target, r.lag))

    def _in_global_terms(self, graph: HypergraphStore) -> EdgeTable:
        """Return the client's edges in the global model's indices.

        Edges of variables that the model does not know are left out.
        """
        model = self.global_model
        if model is None or graph.vocabulary is None or graph.vocabulary == model.vocabulary:
            return graph.edges
        index = {name: i for i, name in enumerate(model.vocabulary.names)}
        to_global = np.array(
            [index.get(name, -1) for name in graph.vocabulary.names], dtype=np.int64
        )
        source, target = to_global[graph.edges.source], to_global[graph.edges.target]
        keep = (source >= 0) & (target >= 0)
        table = graph.edges.take(keep)
        columns: dict[str, Any] = {
            name: getattr(table, name)
            for name in (
                "lag",
                "effect",
                "confidence",
                "stability",
                "hits",
                "n",
                "ci_low",
                "ci_high",
            )
        }
        return EdgeTable.build(source=source[keep], target=target[keep], **columns)

    def _row(self, mine: EdgeTable, i: int, j: int) -> Outlook:
        """Return how one edge stands.

        It is row `i` of the client's table and row `j` of the model's, or -1 where it is missing.
        """
        model = self.global_model
        if model is None or self.local is None:
            raise ConfigError("no global model", subject="outlook")
        ours = model.edges
        table, at = (mine, i) if i >= 0 else (ours, j)
        source, target, lag = int(table.source[at]), int(table.target[at]), int(table.lag[at])
        local = float(mine.effect[i]) if i >= 0 else None
        shared = float(ours.effect[j]) if j >= 0 else None
        names = model.vocabulary.names
        measured_here = {self.local.name(int(v)) for v in self.local.measured}
        best, own_weight = _best(mine, i, model, j)
        if local is None:
            standing = (
                Standing.GLOBAL_ONLY
                if {names[source], names[target]} <= measured_here
                and (self.local.lags is None or lag in self.local.lags)
                else Standing.UNMEASURED
            )
        elif shared is None:
            standing = Standing.LOCAL_ONLY
        else:
            standing = Standing.AGREE if np.sign(local) == np.sign(shared) else Standing.CONFLICT
        vote = float(model.evidence.edges.vote[j]) if j >= 0 else None
        return Outlook(
            source=names[source],
            target=names[target],
            lag=lag,
            standing=standing,
            local=local,
            shared=shared,
            best=best,
            own_weight=own_weight,
            vote=vote,
        )


def statistics_update(
    statistics: Statistics, *, beside: Update | None = None, claims: Claims | None = None
) -> Update:
    """Return an update that carries statistics, alone or beside the edges of another update.

    Raises EngineError where the edges are of other variables or lags.
    """
    if beside is None:
        acts = [{"variable": one} for one in statistics.intervened]
        return Update(
            measured=statistics.variables,
            edges=EdgeTable.empty(),
            semantic=CausalSemanticPack(interventions=list(acts)) if acts else None,
            claims=claims or Claims(),
            lags=statistics.lags,
            statistics=statistics,
        )
    if beside.lags != statistics.lags or beside.measured.tolist() != statistics.variables.tolist():
        raise EngineError(
            f"looked at lags {list(beside.lags or ())} of {len(beside.measured)} variables; the "
            f"statistics are at {list(statistics.lags)} of {len(statistics.variables)}",
            subject="engine",
            remedy="Use an engine that looks at all of the plan's lags, as a round of both needs",
        )
    return replace(beside, statistics=statistics)


def _positions(
    keys: npt.NDArray[np.uint64], sought_keys: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int64]:
    """Return where each wanted key lies in the ascending `keys`, as int64; -1 where it does not."""
    at = np.searchsorted(keys, sought_keys)
    inside = at < len(keys)
    is_present = np.zeros(len(sought_keys), dtype=bool)
    is_present[inside] = keys[at[inside]] == sought_keys[inside]
    return np.where(is_present, at, -1)


def _best(mine: EdgeTable, i: int, model: GlobalModel, j: int) -> tuple[float, float]:
    """Return the estimate of one edge, and the weight of the client's own effect in it."""
    if i < 0:
        return float(model.edges.effect[j]), 0.0
    own_effect = float(mine.effect[i])
    evidence = model.evidence.edges
    if j < 0 or mine.ci_low is None or mine.ci_high is None or not evidence.pooled[j]:
        return own_effect, 1.0
    se_local = (float(mine.ci_high[i]) - float(mine.ci_low[i])) / (2 * Z95)
    spread = float(evidence.tau2[j]) + float(evidence.std_error[j]) ** 2
    weight = 1.0 if spread + se_local**2 == 0 else spread / (spread + se_local**2)
    return weight * own_effect + (1 - weight) * float(model.edges.effect[j]), weight
