"""Every snippet of the reference page, run. Names that it leaves open are small real objects; where
a name or form differs, the comment says why.

The values it shows (trust 0.95) are illustrations: `test_trust_scorer` pins the real ones.
"""

import struct
from abc import ABC
from dataclasses import fields, is_dataclass
from importlib import import_module

import pytest

import hyperfed
from hyperfed import (
    CausalSemanticPack,
    EdgeDelta,
    FederationClientAgent,
    FederationCoordinator,
    FederationScheduler,
    HypergraphStore,
    InMemoryTransport,
    PacketValidator,
    PathPack,
    PayloadCodec,
    PolicyPack,
    PrivacyBudgetExhausted,
    PrivacyGuard,
    StoreReconciler,
    Transport,
    TrustScorer,
    Update,
    build_reconciler,
)
from hyperfed.demo import VARIABLES, series
from hyperfed.engines import VarEngine
from hyperfed.errors import PacketError

PATHS = [PathPack(0, 1, 1, 0.5, 0.9, 0.8), PathPack(1, 2, 1, -0.25, 0.95, 0.9)]


def _names(kind: type) -> list[str]:
    assert is_dataclass(kind)
    return [field.name for field in fields(kind)]


# The page's files and what it documents in each; of the core files it gives the name alone.
DOCUMENTED = {
    "hierarchical": ("HierarchicalFederation",),
    "aggregator": ("build_rule",),
    "gossip": ("GossipProtocol",),
    "basket": ("Basket",),
    "buffer": ("UpdateBuffer",),
    "layers": ("merge_layers",),
    "secure_aggregation": ("HelperGroup", "mask_message", "open_sum"),
    "packets": ("PathPack", "EdgeDelta", "PolicyPack", "CausalSemanticPack"),
    "codec": ("PayloadCodec",),
    "validator": ("PacketValidator",),
    "privacy_guard": ("PrivacyGuard", "PrivacyBudgetExhausted"),
    "trust_scorer": ("TrustScorer",),
    "scheduler": ("FederationScheduler",),
    "client_agent": ("FederationClientAgent",),
    "coordinator": ("FederationCoordinator",),
    "reconciler": ("StoreReconciler", "build_reconciler"),
    "transport": ("Transport", "InMemoryTransport", "HTTPTransport"),
    "privacy": ("PrivacyGuard", "PrivacyBudgetExhausted"),
    "hypergraph": ("HypergraphStore",),
    "registry": ("Registry",),
}


# -- its files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in DOCUMENTED.items() for name in names]
)
def test_each_name_is_in_the_file_that_the_page_names(module: str, name: str) -> None:
    room = import_module(f"hyperfed.{module}")
    assert name in room.__all__
    assert getattr(room, name).__name__ == name
    if name in hyperfed.__all__:
        assert getattr(room, name) is getattr(hyperfed, name)


# -- packets.py ------------------------------------------------------------------------------------


def test_path_pack() -> None:
    assert _names(PathPack) == [
        "source_idx",
        "target_idx",
        "lag",
        "effect",
        "confidence",
        "stability",
    ]
    path = PathPack(source_idx=0, target_idx=1, lag=2, effect=0.5, confidence=0.9, stability=0.8)
    assert (
        path.source_idx,
        path.target_idx,
        path.lag,
        path.effect,
        path.confidence,
        path.stability,
    ) == (0, 1, 2, 0.5, 0.9, 0.8)


def test_edge_delta() -> None:
    # and lag: it is part of an edge's key
    assert _names(EdgeDelta)[:5] == [
        "source_id",
        "target_id",
        "weight_delta",
        "ci_delta",
        "hits_delta",
    ]
    delta = EdgeDelta(source_id=0, target_id=1, weight_delta=0.1, ci_delta=(0.0, 0.2), hits_delta=3)
    assert (delta.weight_delta, delta.ci_delta, delta.hits_delta) == (0.1, (0.0, 0.2), 3)


def test_policy_pack() -> None:
    assert _names(PolicyPack)[:3] == ["g_min", "stability_min", "n_proposals"]
    policy = PolicyPack(g_min=0.01, stability_min=0.2, n_proposals=50)
    assert (policy.g_min, policy.stability_min, policy.n_proposals) == (0.01, 0.2, 50)


def test_causal_semantic_pack() -> None:
    assert _names(CausalSemanticPack) == ["dag_edges", "confounders", "interventions"]
    pack = CausalSemanticPack(
        dag_edges=[(0, 1, 0.7)], confounders=[2], interventions=[{"variable": 0, "value": 1.5}]
    )
    assert (pack.dag_edges, pack.confounders, pack.interventions) == (
        [(0, 1, 0.7)],
        [2],
        [{"variable": 0, "value": 1.5}],
    )


# -- codec.py --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "codec", [PayloadCodec(), PayloadCodec(compression="zstd")], ids=["plain", "compressed"]
)
def test_payload_codec(codec: PayloadCodec) -> None:
    path_pack = PATHS[0]

    # Serialize
    bytes_data = codec.encode(path_pack)

    # Deserialize
    assert codec.decode(bytes_data, PathPack) == path_pack
    assert isinstance(bytes_data, bytes)
    assert len(bytes_data) < 200


# -- validator.py ----------------------------------------------------------------------------------


def test_packet_validator() -> None:
    validator = PacketValidator()
    rejected: list[str | None] = []
    reject = rejected.append

    for packet in (PATHS[0], PayloadCodec().encode(PATHS[0]), b"\x00garbage", "a text"):
        is_valid, error = validator.validate(packet)
        if not is_valid:
            reject(error)
    assert len(rejected) == 2
    assert all(rejected)

    # "Value bounds (e.g., confidence in [0,1])": it cannot even be made
    with pytest.raises(PacketError, match=r"confidence is 1\.2"):
        PathPack(0, 1, 1, 0.5, 1.2, 0.8)
    good = PayloadCodec().encode(PATHS[0])
    confidence = struct.pack(">d", 0.9)
    assert good.count(confidence) == 1
    # nor does it come in as bytes
    is_valid, error = validator.validate(good.replace(confidence, struct.pack(">d", 1.2)))
    assert not is_valid
    assert "confidence is 1.2" in str(error)


# -- privacy_guard.py ------------------------------------------------------------------------------


def test_privacy_guard() -> None:
    guard = PrivacyGuard(max_epsilon=10.0, max_delta=1e-4)
    performed = 0

    def perform_operation() -> None:
        nonlocal performed
        performed += 1

    def once() -> None:
        # Check before DP operation
        if guard.can_proceed(epsilon=1.0, delta=1e-5):
            perform_operation()
            guard.record(epsilon=1.0, delta=1e-5)
        else:
            raise PrivacyBudgetExhausted()

    for _ in range(10):
        once()
    with pytest.raises(PrivacyBudgetExhausted):
        once()
    assert performed == 10


# -- trust_scorer.py -------------------------------------------------------------------------------


def test_trust_scorer() -> None:
    scorer = TrustScorer()
    before = scorer.get_trust("hospital_1")

    # Update trust based on behavior
    scorer.update(client_id="hospital_1", metric="outlier_count", value=0)

    trust = scorer.get_trust("hospital_1")
    assert before < trust < 1
    scorer.update(client_id="hospital_1", metric="outlier_count", value=3)
    assert scorer.get_trust("hospital_1") < trust


# -- scheduler.py ----------------------------------------------------------------------------------


def test_federation_scheduler() -> None:
    scheduler = FederationScheduler(
        round_duration=60.0,  # Seconds per round
        gossip_frequency=5,  # Gossip rounds per federation round
        aggregation_delay=10.0,  # Wait for stragglers
    )
    done: list[tuple[str, int]] = []
    clock = 0.0

    # Main loop, over three rounds of a clock that is an argument: the real one is a Prefect
    # schedule (`schedule_of`), there is no daemon
    while clock <= 3 * 60.0 + 10.0:
        scheduler.tick(clock)

        if scheduler.should_gossip():
            done.append(("gossip", scheduler.round))

        if scheduler.should_aggregate():
            done.append(("aggregate", scheduler.round))
            scheduler.advance_round()
        clock += 1.0

    assert [r for what, r in done if what == "aggregate"] == [1, 2, 3]
    assert [done.count(("gossip", r)) for r in (1, 2, 3)] == [5, 5, 5]
    assert scheduler.schedule_of() == {
        "open-round": 60.0,
        "federation-round": 60.0,
        "gossip-round": 12.0,
        "aggregation_delay": 10.0,
    }


# -- client_agent.py -------------------------------------------------------------------------------


def test_federation_client_agent() -> None:
    my_discovery_engine = VarEngine(series("texas"), VARIABLES, n_bootstrap=20)
    agent = FederationClientAgent(engine=my_discovery_engine, client_id="hospital_1")

    # Extract shareable update from engine
    update = agent.get_shareable_update()
    assert isinstance(update, Update)
    assert update.edges is not None
    assert len(update.edges) > 0

    coordinator = FederationCoordinator()
    coordinator.handle_update("hospital_1", update)
    global_model = coordinator.aggregate()

    # Apply received global model
    agent.apply_global_model(global_model)
    assert agent.global_model is global_model
    assert agent.local is not None
    assert agent.outlook()


# -- coordinator.py --------------------------------------------------------------------------------


def test_federation_coordinator() -> None:
    coordinator = FederationCoordinator(quorum=2)

    # Process incoming update
    for client_id in ("hospital_1", "hospital_2"):
        assert not coordinator.should_aggregate()
        update = Update.from_paths(PATHS, measured=[0, 1, 2], n=100)
        coordinator.handle_update(client_id, update)

    # Trigger aggregation
    if coordinator.should_aggregate():
        global_model = coordinator.aggregate()
        written = coordinator.broadcast(global_model)
    assert global_model.clients == 2
    assert len(global_model.edges) == 2
    # in this process there is nobody to write for; with keys and a plan it returns the signed
    # result
    assert written == []


# -- reconciler.py ---------------------------------------------------------------------------------

store_1 = HypergraphStore.from_paths(PATHS, measured=[0, 1, 2])
store_2 = HypergraphStore.from_paths(PATHS[:1], measured=[0, 1, 2])
store_3 = HypergraphStore.from_paths(
    [*PATHS[:1], PathPack(2, 0, 1, 0.1, 0.2, 0.3)], measured=[0, 1, 2]
)


def _edges(graph: HypergraphStore) -> list[tuple[int, int]]:
    return [(path.source_idx, path.target_idx) for path in graph.to_paths()]


def test_store_reconciler() -> None:
    reconciler = StoreReconciler(strategy="union")

    merged_store = reconciler.reconcile([store_1, store_2, store_3])

    assert _edges(merged_store) == [(0, 1), (1, 2), (2, 0)]
    assert _edges(
        StoreReconciler(strategy="intersection").reconcile([store_1, store_2, store_3])
    ) == [(0, 1)]


def test_build_reconciler() -> None:
    reconciler = build_reconciler("weighted")

    assert isinstance(reconciler, StoreReconciler)
    assert _edges(reconciler.reconcile([store_1, store_2, store_3])) == [(0, 1), (1, 2)], (
        "weighted by how many sources there are, and their confidence"
    )


# -- transport.py ----------------------------------------------------------------------------------


def test_transport() -> None:
    assert issubclass(Transport, ABC)
    assert Transport.__abstractmethods__ == {"send", "receive"}

    class Echo(Transport):
        def __init__(self) -> None:
            self.kept: list[tuple[str, bytes]] = []

        def send(self, to: str, message: bytes) -> None:
            self.kept.append((to, message))

        def receive(self, timeout: float) -> tuple[str, bytes] | None:
            return self.kept.pop(0) if self.kept else None

    for transport, sender in ((Echo(), "hospital_1"), (InMemoryTransport(), "loopback")):
        transport.send("hospital_1", b"hello")
        assert transport.receive(0) == (sender, b"hello")
        assert transport.receive(0) is None
