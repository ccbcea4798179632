"""A streamed round writes the bytes of one that holds everything, and holds nothing but what is
small.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from hyperfed.codec import PayloadCodec
from hyperfed.coordinator import RoundRunner
from hyperfed.coordinator.reputation import next_states
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.merge.spool import Spool
from hyperfed.packets import PolicyPack, Update
from hyperfed.protocol.sequences import signers_of
from hyperfed.tables.tables import EdgeTable
from hyperfed.testing.federation import SmallFederation

CLIENTS = 7


def update(client: int, round_id: int, variables: int = 4) -> Update:
    """What a client found; they did not all look at the same lags."""
    lags = (None, (1,), (1, 2))[client % 3]
    rng = np.random.default_rng([client, round_id])
    pairs = np.flatnonzero(
        (rng.random(variables**2) < 0.6) & (np.arange(variables**2) % (variables + 1) > 0)
    )
    effect = (
        np.sin(pairs) * (-1 if client == 0 else 1) + 0.1 * rng.normal(size=len(pairs))
    ).astype(np.float32)
    table = EdgeTable(
        source=(pairs // variables).astype(np.uint32),
        target=(pairs % variables).astype(np.uint32),
        lag=1 + (pairs % 2 if lags != (1,) else 0 * pairs).astype(np.uint16),
        effect=effect,
        confidence=np.full(len(pairs), 0.9, np.float32),
        stability=(0.5 + 0.5 * rng.random(len(pairs))).astype(np.float32),
        hits=np.full(len(pairs), 3, np.uint32),
        n=np.full(len(pairs), 50 + 100 * client, np.uint64),
    )
    return Update(measured=np.arange(variables, dtype=np.uint32), edges=table, lags=lags)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Spool]]:
    """Spools that write every few tables to their file and cut many ranges; the list of them."""
    made: list[Spool] = []

    def make() -> Spool:
        made.append(Spool(rows_a_range=10, block_bytes=300, memory_bytes=500, ballots_bytes=100))
        return made[-1]

    monkeypatch.setattr("hyperfed.coordinator.streamed.Spool", make)
    yield made
    for spool in made:
        spool.close()


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"n_cap": 300},
        {"strategy": "union"},
        {"strategy": "intersection"},
        {"strategy": "weighted"},
        {"strategy": "mean"},
        {"rule": "median"},
        {"weigh_by": "reputation"},
    ],
    ids=str,
)
def test_result_and_state_are_those_of_a_round_from_memory(
    policy: dict[str, object], small_blocks: list[Spool]
) -> None:
    fed = SmallFederation(clients=CLIENTS, policy=PolicyPack(g_min=0.0, **policy))  # type: ignore[arg-type]
    runners: dict[int, RoundRunner] = {}
    for round_id in (1, 2):
        fed.open(round_id)
        for i, client in enumerate(fed.clients):
            fed.submit(client, update(i, round_id), round_id=round_id)
        runners[round_id] = fed.runner(round_id)
        runners[round_id].run(round_id)
    assert any(spool._end for spool in small_blocks), "nothing went through the file"
    assert any(spool.bounds is not None and len(spool.bounds) for spool in small_blocks), (
        "one range"
    )
    reader = fed.reader()
    plan, frozen, result, state = fed.plan(2), reader.freeze(2), reader.result(2), reader.state(2)
    assert frozen is not None and result is not None and state is not None  # noqa: PT018
    assert isinstance(result.value, GlobalModel)
    whole = fed.runner(2).frozen.coordinator(plan, frozen)
    assert whole.elsewhere is None
    encode = partial(PayloadCodec().encode)
    assert encode(whole.aggregate()) == encode(result.value)
    first = reader.result(1)
    assert first is not None and isinstance(first.value, GlobalModel)  # noqa: PT018
    assert whole.reconciliation is not None
    base = fed.runner(2).frozen.state_before(frozen.value)
    stores = dict(zip(whole.clients, whole.graphs(), strict=True))
    again = next_states(
        base,
        frozen.value,
        plan=plan,
        reconciliation=whole.reconciliation,
        graphs=stores,
        last_models=[first.value],
        signers=signers_of(frozen.value, reader.registry),
    )
    assert again == state.value.clients
    assert len(result.value.edges), "a merge of nothing shows nothing"


def test_what_is_held_has_no_edges_and_is_read_once(small_blocks: list[Spool]) -> None:
    fed = SmallFederation(clients=CLIENTS)
    fed.open(1)
    for i, client in enumerate(fed.clients):
        fed.submit(client, update(i, 1))
    runner = fed.runner(1)
    runner.run(1)
    frozen = runner.reader.freeze(1)
    assert frozen is not None
    for known in (runner, fed.runner(1)):  # the one that judged, and one that reads accepted/
        coordinator = known.frozen.coordinator(fed.plan(1), frozen, models=list)
        assert coordinator.elsewhere is not None
        assert all(len(graph.edges) == 0 for graph in coordinator.graphs())
        assert len(small_blocks[-1]) == CLIENTS
    assert [len(spool) for spool in small_blocks] == [CLIENTS] * 3, (
        "one at validation, which the release used"
    )


def test_after_the_release_nothing_is_held_for_each_edge_and_client() -> None:
    """Of 100,000 clients who supports which edge is a tenth of all memory, while the state is
    written.
    """
    fed = SmallFederation()
    fed.open(1)
    fed.submit_all()
    runner = fed.runner(1)
    runner.freeze(1, runner.validate(runner.collect(1)))
    runner.reserve(1)
    runner.release(1)
    frozen = runner.reader.freeze(1)
    assert frozen is not None
    merged = runner.merge.of(runner.plan(1).value, frozen)
    assert merged.reconciliation is not None
    assert merged.reconciliation.supporters is None
    assert runner.conclude(1).counted == len(fed.clients)
