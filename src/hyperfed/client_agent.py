"""`FederationClientAgent`: wraps a discovery engine for the federation. Everything it needs is injected; it does no I/O.

1. What is shared: the engine's edges in the round's vocabulary, that reach the policy's `g_min` and `stability_min`, at most `n_proposals` of them,
   the strongest by |vote|, then |effect|. Raw data never enters an update.
2. What comes back stays apart: `local` is the client's own model, `global_model` the federation's; neither overwrites the other.
3. The rule for the tension between them (`outlook`): where both know an edge, the client's best estimate is its own effect shrunk towards the
   federation's, by how much clients differ: weight of its own = (tau² + se_g²) / (tau² + se_g² + se_l²), the posterior mean under the random-effects
   model (Normand 1999, Stat. Med. 18, eq. 14). Without intervals it is its own effect. Signs that differ are flagged as a conflict, never averaged away
   in silence; what only one side knows is shown as such.

What it does not do: sign, send or fetch (`client.session`).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.engines.base import Discovery, Engine
from hyperfed.errors import ConfigError, EngineError
from hyperfed.global_model import GlobalModel
from hyperfed.hypergraph import HypergraphStore
from hyperfed.packets import CausalSemanticPack, Claims, PolicyPack, Update
from hyperfed.rounds import check_client_id
from hyperfed.tables import EdgeTable
from hyperfed.vocabulary import Vocabulary

__all__ = ["FederationClientAgent", "Outlook", "Standing", "shareable"]

_Z95 = 1.959963984540054


class Standing(StrEnum):
    """How an edge stands between a client and its federation."""

    AGREE = "agree"
    CONFLICT = "conflict"
    LOCAL_ONLY = "local only"
    GLOBAL_ONLY = "global only"
    UNMEASURED = "global only, not measured here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """One edge seen from a client. local, shared: effects, None where that side has none; best: the estimate by the rule; own_weight: of its own in it."""

    source: str
    target: str
    lag: int
    standing: Standing
    local: float | None
    shared: float | None
    best: float
    own_weight: float
    vote: float | None


def shareable(edges: EdgeTable, policy: PolicyPack) -> EdgeTable:
    """The rows a policy lets a client share (rule 1 of the module)."""
    fit = (np.abs(edges.effect) >= policy.g_min) & (edges.stability >= policy.stability_min) & (edges.lag <= policy.max_lag)
    rows = np.flatnonzero(fit)
    if len(rows) > policy.n_proposals:
        strongest = np.lexsort((rows, -np.abs(edges.effect[rows]), -np.abs(edges.vote[rows])))[: policy.n_proposals]
        rows = np.sort(rows[strongest])
    return edges.take(rows)


class FederationClientAgent:
    """engine: any object with `discover() -> Discovery`. client_id: as registered. policy, vocabulary: the round's; without them the defaults, and the engine's
    own variables in their order (enough for a first look). Raises ConfigError for an engine without `discover`."""

    def __init__(self, engine: Engine, client_id: str, *, policy: PolicyPack | None = None, vocabulary: Vocabulary | None = None) -> None:
        if not callable(getattr(engine, "discover", None)):
            raise ConfigError(
                f"a {type(engine).__name__} has no method discover()",
                subject="engine",
                remedy="Any object with `discover() -> hyperfed.engines.Discovery` will do",
            )
        check_client_id(client_id.replace("_", "-"))
        self.engine, self.client_id = engine, client_id
        self.policy = policy or PolicyPack()
        self.vocabulary = vocabulary
        self.local: HypergraphStore | None = None
        self.global_model: GlobalModel | None = None

    def get_shareable_update(self, *, semantic: CausalSemanticPack | None = None, claims: Claims | None = None) -> Update:
        """Run the engine and return what may be shared. Raises EngineError where the data or the engine's result cannot be used."""
        discovery = self.engine.discover()
        if not isinstance(discovery, Discovery):
            raise EngineError(
                f"discover() returned a {type(discovery).__name__}", subject=type(self.engine).__name__, remedy="It must return a hyperfed.engines.Discovery"
            )
        vocabulary = self.vocabulary or Vocabulary.of(*discovery.variables)
        measured, edges = discovery.to_edges(vocabulary)
        self.local = HypergraphStore(edges=edges, measured=measured, vocabulary=vocabulary)
        return Update(measured=measured, edges=shareable(edges, self.policy), semantic=semantic, claims=claims or Claims())

    def apply_global_model(self, global_model: GlobalModel) -> None:
        """Keep the federation's model beside the client's own. Raises ConfigError for a model of an earlier round than the one held."""
        if self.global_model is not None and global_model.round < self.global_model.round:
            raise ConfigError(
                f"is of round {global_model.round}, the one held is of round {self.global_model.round}",
                subject="global model",
                rule="R-50",
                remedy="Pull again: somebody served an old broadcast",
            )
        self.global_model = global_model

    def outlook(self) -> list[Outlook]:
        """Every edge of either side, strongest federation vote first (rule 3). Raises ConfigError before both sides are there."""
        if self.local is None or self.global_model is None:
            missing = "get_shareable_update()" if self.local is None else "apply_global_model(...)"
            raise ConfigError("needs the client's own model and the federation's", subject="outlook", remedy=f"Call {missing} first")
        mine, theirs = self._in_global_terms(self.local), self.global_model
        ours = theirs.edges
        keys = np.union1d(mine.keys, ours.keys)
        at_mine, at_ours = _positions(mine.keys, keys), _positions(ours.keys, keys)
        rows = [self._row(mine, int(i), int(j)) for i, j in zip(at_mine, at_ours, strict=True)]
        return sorted(rows, key=lambda r: (-abs(r.vote or 0.0), r.source, r.target, r.lag))

    def _in_global_terms(self, store: HypergraphStore) -> EdgeTable:
        """The client's edges in the global model's indices; what it does not speak about is left out."""
        model = self.global_model
        if model is None or store.vocabulary is None or store.vocabulary == model.vocabulary:
            return store.edges
        index = {name: i for i, name in enumerate(model.vocabulary.names)}
        to_global = np.array([index.get(name, -1) for name in store.vocabulary.names], dtype=np.int64)
        source, target = to_global[store.edges.source], to_global[store.edges.target]
        keep = (source >= 0) & (target >= 0)
        table = store.edges.take(keep)
        columns: dict[str, Any] = {name: getattr(table, name) for name in ("lag", "effect", "confidence", "stability", "hits", "n", "ci_low", "ci_high")}
        return EdgeTable.build(source=source[keep], target=target[keep], **columns)

    def _row(self, mine: EdgeTable, i: int, j: int) -> Outlook:
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
            standing = Standing.GLOBAL_ONLY if {names[source], names[target]} <= measured_here else Standing.UNMEASURED
        elif shared is None:
            standing = Standing.LOCAL_ONLY
        else:
            standing = Standing.AGREE if np.sign(local) == np.sign(shared) else Standing.CONFLICT
        vote = float(model.evidence.edges.vote[j]) if j >= 0 else None
        return Outlook(
            source=names[source], target=names[target], lag=lag, standing=standing, local=local, shared=shared, best=best, own_weight=own_weight, vote=vote
        )


def _positions(keys: npt.NDArray[np.uint64], wanted: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """int64[wanted]: where each key lies in the ascending `keys`, -1 where it does not."""
    at = np.searchsorted(keys, wanted)
    inside = at < len(keys)
    found = np.zeros(len(wanted), dtype=bool)
    found[inside] = keys[at[inside]] == wanted[inside]
    return np.where(found, at, -1)


def _best(mine: EdgeTable, i: int, model: GlobalModel, j: int) -> tuple[float, float]:
    """(estimate, weight of the client's own effect in it) of one edge."""
    if i < 0:
        return float(model.edges.effect[j]), 0.0
    own = float(mine.effect[i])
    evidence = model.evidence.edges
    if j < 0 or mine.ci_low is None or mine.ci_high is None or not evidence.pooled[j]:
        return own, 1.0
    se_local = (float(mine.ci_high[i]) - float(mine.ci_low[i])) / (2 * _Z95)
    spread = float(evidence.tau2[j]) + float(evidence.std_error[j]) ** 2
    weight = 1.0 if spread + se_local**2 == 0 else spread / (spread + se_local**2)
    return weight * own + (1 - weight) * float(model.edges.effect[j]), weight
