"""Simulate what published numbers are worth: coverage, error rates, and trust over many rounds.

1. Everything is played by the shipped engine (`VarEngine`), by what a client shares
   (`client_agent.shareable`), and by the shipped merge. Nothing is computed beside them.
2. Clients differ honestly: each has coefficients of its own, normal around the common ones with the
   variance `tau2`.
3. Everything follows from the generator that is given.

`benchmarks/statistics_page.py` draws docs/statistics.md from here; tests play a small part with a
fixed seed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hyperfed.client_agent import shareable
from hyperfed.engines.var import VarEngine
from hyperfed.hierarchy.hierarchical import HierarchicalFederation
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.kernels.layout import Z95
from hyperfed.packets import PolicyPack
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.simulator.run import attacked_graphs
from hyperfed.tables.tables import pack_keys
from hyperfed.tables.vocabulary import Vocabulary

__all__ = [
    "Coverage",
    "ErrorRates",
    "Standing",
    "client_graph",
    "coverage",
    "error_rates",
    "sparse_coefficients",
    "standing",
]

_WARM_UP = 50

Floats = npt.NDArray[np.float64]


def sparse_coefficients(rng: np.random.Generator, variables: int, *, share: float = 0.2) -> Floats:
    """Return float64[target, source]: a stable lag-1 system of at least four edges."""
    while True:
        there = rng.uniform(size=(variables, variables)) < share
        sign = rng.choice([-1.0, 1.0], there.shape)
        coefficients = np.where(there, sign * rng.uniform(0.25, 0.5, there.shape), 0.0)
        if there.sum() >= 4 and np.abs(np.linalg.eigvals(coefficients)).max() < 0.8:
            return np.asarray(coefficients)


def client_graph(
    coefficients: Floats,
    rows: int,
    rng: np.random.Generator,
    *,
    tau2: float = 0.0,
    bootstraps: int = 10,
) -> HypergraphStore:
    """Return what a client shares that saw `rows` rows of a lag-1 system.

    Its own coefficients lie around the given ones where these are not 0.
    """
    width = len(coefficients)
    client_coefficients = coefficients + np.sqrt(tau2) * rng.normal(size=coefficients.shape) * (
        coefficients != 0
    )
    while np.abs(np.linalg.eigvals(client_coefficients)).max() >= 0.98:
        client_coefficients = client_coefficients * 0.98
    y = np.zeros((rows + _WARM_UP, width))
    y[1:] = rng.normal(size=(len(y) - 1, width))
    for t in range(1, len(y)):
        y[t] += client_coefficients @ y[t - 1]
    vocabulary = Vocabulary.of(*(f"x{i}" for i in range(width)))
    seed = int(rng.integers(1 << 30))
    engine = VarEngine(y[_WARM_UP:], vocabulary.names, lags=(1,), n_bootstrap=bootstraps, rng=seed)
    measured, edges = engine.discover().to_edges(vocabulary)
    return HypergraphStore(
        edges=shareable(edges, PolicyPack()), measured=measured, vocabulary=vocabulary
    )


@dataclass(slots=True, kw_only=True)
class Coverage:
    """Holds what intervals of one true effect's size did."""

    inside: list[bool] = field(default_factory=list)
    """Whether the 95 % interval held the common effect, one an estimate."""
    predicted: list[bool] = field(default_factory=list)
    """Whether the prediction interval held the effect of another client, where there is one."""
    kept: list[bool] = field(default_factory=list)
    """Whether the edge's vote would have kept it."""
    error: list[float] = field(default_factory=list)
    """The pooled less the common effect, times the common effect's sign."""
    std_error: list[float] = field(default_factory=list)
    """The stated standard error of the pooled effect."""
    tau2: list[float] = field(default_factory=list)
    """The estimated variance between clients."""
    i2: list[float] = field(default_factory=list)
    """I squared."""
    share: list[float] = field(default_factory=list)
    """What I squared estimates: tau2 over tau2 plus the clients' mean squared standard error."""


def coverage(
    rng: np.random.Generator,
    *,
    replicates: int,
    clients: int = 10,
    rows: int = 300,
    tau2: float = 0.01,
    effects: Sequence[float] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
    vote_min: float = 0.3,
) -> dict[float, Coverage]:
    """Return the coverage of all measured pairs of each true effect's size, kept or not.

    Each replicate has a system of as many variables as effects: each variable drives the next one,
    with one of the effects, of random sign.
    """
    coverage_of = {effect: Coverage() for effect in effects}
    width = len(effects)
    for _ in range(replicates):
        order = rng.permutation(width)
        sign = rng.choice([-1.0, 1.0], width)
        common = np.zeros((width, width))
        target, source = np.roll(order, -1), order
        common[target, source] = sign * np.array(effects)
        graphs = [client_graph(common, rows, rng, tau2=tau2, bootstraps=5) for _ in range(clients)]
        # every q-value is at most 1: what nobody votes on stays, too
        model = StoreReconciler(cut="fdr", fdr_max=1.0).merge(graphs).graph
        if model.evidence is None or model.evidence.edges.spread is None:
            continue  # pragma: no cover - a merge has evidence
        evidence, spread = model.evidence.edges, model.evidence.edges.spread
        keys = pack_keys(source, target, np.ones(width, dtype=np.int64))
        at = np.searchsorted(model.edges.keys, keys)
        variance = np.mean([_variance(graph, keys) for graph in graphs], axis=0).tolist()
        if model.edges.ci_low is None or model.edges.ci_high is None:
            continue  # pragma: no cover - the engine gives intervals
        for effect, signed, i, v in zip(effects, sign.tolist(), at.tolist(), variance, strict=True):
            true, one = effect * signed, coverage_of[effect]
            another = true + np.sqrt(tau2) * rng.normal()
            one.inside.append(bool(model.edges.ci_low[i] <= true <= model.edges.ci_high[i]))
            if spread.predict_low[i] < spread.predict_high[i]:
                one.predicted.append(
                    bool(spread.predict_low[i] <= another <= spread.predict_high[i])
                )
            one.kept.append(bool(abs(evidence.vote[i]) >= vote_min))
            one.error.append(float(model.edges.effect[i] - true) * signed)
            one.std_error.append(float(evidence.std_error[i]))
            one.tau2.append(float(evidence.tau2[i]))
            one.i2.append(float(evidence.i2[i]))
            one.share.append(tau2 / (tau2 + v))
    return coverage_of


def _variance(graph: HypergraphStore, keys: npt.NDArray[np.uint64]) -> Floats:
    """Return float64[keys]: the squared standard errors that a client states."""
    edges, at = graph.edges, np.searchsorted(graph.edges.keys, keys)
    if edges.ci_low is None or edges.ci_high is None:  # pragma: no cover - engines give intervals
        return np.zeros(len(keys))
    width = edges.ci_high[at].astype(np.float64) - edges.ci_low[at]
    return np.asarray((width / (2 * Z95)) ** 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRates:
    """Holds how often a cut is wrong, as means over replicates."""

    false_edges: float
    """The number of false edges of an outcome."""
    any_false: float
    """The share of outcomes with a false edge."""
    false_share: float
    """The share of an outcome's edges that are false, 0 where it has none."""
    power: float
    """The share of true edges that are found; 1 where there are none."""


def error_rates(
    coefficients: Floats,
    rng: np.random.Generator,
    *,
    clients: int,
    rows: int,
    replicates: int,
    tau2: float = 0.0,
    cuts: Sequence[str] = ("vote", "fdr"),
) -> dict[str, ErrorRates]:
    """Return the error rates of each cut on data of a lag-1 system."""
    target, source = np.nonzero(coefficients)
    truth = pack_keys(source, target, np.ones(len(source), dtype=np.int64))
    outcomes: dict[str, list[tuple[float, float, float, float]]] = {cut: [] for cut in cuts}
    for _ in range(replicates):
        graphs = [client_graph(coefficients, rows, rng, tau2=tau2) for _ in range(clients)]
        for cut in cuts:
            keys = StoreReconciler(cut=cut).reconcile(graphs).edges.keys
            right = int(np.isin(keys, truth).sum())
            false = len(keys) - right
            power = right / len(truth) if len(truth) else 1.0
            outcomes[cut].append((false, false > 0, false / max(1, len(keys)), power))
    return {
        cut: ErrorRates(false_edges=mean[0], any_false=mean[1], false_share=mean[2], power=mean[3])
        for cut, rows_ in outcomes.items()
        for mean in [np.mean(np.array(rows_, dtype=np.float64), axis=0).tolist()]
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Holds how clients stand after many rounds."""

    expelled: frozenset[str]
    """The clients that a round left out by their reputation."""
    trust: Mapping[str, float]
    """The trust of each client after the last round."""
    weight: Mapping[str, float]
    """The mean weight of each client over the rounds that counted it."""


def standing(
    night: Callable[[np.random.Generator], dict[str, HypergraphStore]],
    rng: np.random.Generator,
    *,
    rounds: int = 30,
    liars: Sequence[str] = (),
    attack: str = "collusion",
    baskets: Mapping[str, str] | None = None,
) -> Standing:
    """Return how clients stand after rounds of fresh data.

    `night` makes the graphs of a night. `liars` attack, quietly. `baskets` names the basket of each
    client; None: all are of one.
    """
    federation: HierarchicalFederation | None = None
    expelled: set[str] = set()
    weights: dict[str, list[float]] = {}
    for _ in range(rounds):
        graphs = night(rng)
        if federation is None:
            federation = HierarchicalFederation(vocabulary=next(iter(graphs.values())).vocabulary)
            for client in sorted(graphs):
                federation.register(client, basket=(baskets or {}).get(client, "default"))
        if liars:
            graphs = attacked_graphs(graphs, list(liars), attack, rng, quiet=True)
        for client in sorted(graphs):
            federation.submit(client, graphs[client])
        model = federation.maybe_aggregate()
        if model is None:
            continue
        expelled |= set(model.excluded)
        for client, weight in model.weights.items():
            weights.setdefault(client, []).append(weight)
    trust = (
        {}
        if federation is None
        else {client: federation.scorer.get_trust(client) for client in federation.clients}
    )
    return Standing(
        expelled=frozenset(expelled),
        trust=trust,
        weight={
            client: float(np.mean(client_weights)) for client, client_weights in weights.items()
        },
    )
