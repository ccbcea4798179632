"""The stories of `fifty_nights`: six federations, and what happens to each, night by night.

Each is a generator that plays a night and yields the federation and the night's round. What clients
find follows from the names of the federation, the client and the round.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from hyperfed.config import Limits
from hyperfed.errors import QuorumMissed
from hyperfed.packets import CausalSemanticPack, Claims, PolicyPack, Update
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import Budget, KeyRecord
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import DeltaTable, EdgeTable
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation, key_of

Story = Iterator[tuple[SmallFederation, int]]

# -- what clients find -----------------------------------------------------------------------------


def numbers(name: str, count: int, below: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """int64[count] in [0, below), from the name."""
    words = np.frombuffer(hashlib.shake_256(name.encode()).digest(4 * count), "<u4")
    return (words % below).astype(np.int64)


def found(
    fed: SmallFederation, client: str, round_id: int, *, lie: bool = False, **more: Any
) -> Update:
    """Four fifths of all pairs at lag 1: the truth, and up to four 64ths beside it; a liar tells
    its opposite.
    """
    name, n = f"{fed.registry.federation}/{client}/{round_id}", len(fed.vocabulary)
    source, target = (
        ends.reshape(-1) for ends in np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    )
    apart = source != target
    rows = apart & (numbers(f"{name}/there", n * n, 5) > 0)
    truth = numbers(f"{fed.registry.federation}/truth", n * n, 97) - 48
    seen = (truth + numbers(f"{name}/seen", n * n, 9) - 4)[rows] / 64
    effect = -seen if lie else seen
    width = (8 + numbers(f"{name}/width", n * n, 8)[rows]) / 64
    edges = EdgeTable.build(
        source=source[rows],
        target=target[rows],
        lag=1,
        effect=effect,
        ci_low=effect - width,
        ci_high=effect + width,
        confidence=(8 + numbers(f"{name}/confidence", n * n, 9)[rows]) / 16,
        stability=(4 + numbers(f"{name}/stability", n * n, 13)[rows]) / 16,
        hits=numbers(f"{name}/hits", n * n, 40)[rows],
        n=64 + 64 * numbers(f"{name}/n", 1, 4)[0],
    )
    return Update(measured=np.arange(n, dtype=np.uint32), edges=edges, **more)


def changes(fed: SmallFederation, client: str, before: int) -> Update:
    """Three edges moved, against what the client sent in the round before."""
    state, edges = (
        fed.reader().state(before),
        fitting(fed, found(fed, client, before), before).edges,
    )
    known = None if state is None else state.value.of(client)
    assert known is not None
    assert edges is not None
    by = np.array([1.0, -2.0, 3.0]) / 64
    deltas = DeltaTable(
        source=edges.source[:3],
        target=edges.target[:3],
        lag=edges.lag[:3],
        weight_delta=by,
        ci_low_delta=by,
        ci_high_delta=by,
        hits_delta=np.array([1, 2, 3]),
    )
    return Update(
        measured=np.arange(len(fed.vocabulary), dtype=np.uint32),
        deltas=deltas,
        base=known.last_digest,
    )


def federation(name: str, *, clients: int, variables: int = 5, **options: Any) -> SmallFederation:
    words = Vocabulary.of(*(f"variable {i}" for i in range(variables)), domain="nights")
    return SmallFederation(clients=clients, name=name, vocabulary=words, auditors=1, **options)


def fitting(fed: SmallFederation, update: Update, round_id: int) -> Update:
    """The update without the rows that the round's policy does not let be shared."""
    policy, edges = fed.plan(round_id).policy, update.edges
    assert edges is not None
    strong = (np.abs(edges.effect) >= policy.g_min) & (edges.stability >= policy.stability_min)
    return replace(update, edges=edges.take(np.flatnonzero(strong)))


def send(
    fed: SmallFederation,
    round_id: int,
    *,
    but: tuple[str, ...] = (),
    liars: tuple[str, ...] = (),
    **more: Any,
) -> None:
    for client in fed.clients:
        if client not in but:
            update = found(fed, client, round_id, lie=client in liars, **more)
            fed.submit(client, fitting(fed, update, round_id), round_id=round_id)


def night(
    fed: SmallFederation, round_id: int, *, opened: dict[str, Any] | None = None, **sent: Any
) -> None:
    """A night without surprises."""
    fed.open(round_id, **(opened or {}))
    send(fed, round_id, **sent)
    fed.run(round_id)


# -- the stories -----------------------------------------------------------------------------------


def plain() -> Story:
    """Ten nights by bounded trust: a liar who is excluded in the end, late ones, changes,
    corrections, and one void night.
    """
    fed = federation("plain", clients=6, variables=10)
    liars = ("site-06",)
    night(fed, 1, liars=liars)
    yield fed, 1
    night(fed, 2, liars=liars, but=("site-03",))
    yield fed, 2
    fed.open(3)
    fed.submit("site-03", found(fed, "site-03", 2), round_id=2)
    send(fed, 3, liars=liars, but=("site-03",))
    fed.run(3)
    yield fed, 3
    fed.open(4)
    fed.submit("site-02", changes(fed, "site-02", 3), round_id=4)
    send(fed, 4, liars=liars, but=("site-02",))
    fed.run(4)
    yield fed, 4
    fed.open(5)
    send(fed, 5, but=fed.clients[2:])
    try:
        fed.run(5)
        raise AssertionError("two of six are no quorum")
    except QuorumMissed:
        fed.run(5, now=fed.registry.windows.deadline(6))
    yield fed, 5
    fed.open(6)
    send(fed, 6, liars=liars, but=fed.clients[:2])
    fed.run(6)
    yield fed, 6
    fed.open(7)
    fed.submit("site-01", found(fed, "site-01", 70), round_id=7)
    send(fed, 7, liars=liars)
    fed.run(7)
    yield fed, 7
    night(fed, 8, liars=liars, opened={"max_staleness": 0, "g_min": 0.0625, "stability_min": 0.0})
    yield fed, 8
    fed.open(9)
    fed.submit("site-02", changes(fed, "site-02", 8), round_id=9)
    send(fed, 9, liars=liars, but=("site-02", "site-05"))
    fed.run(9)
    yield fed, 9
    night(fed, 10, opened={"trust_min": 0.5, "trust_nights": 2})
    yield fed, 10


def rules() -> Story:
    """Thirteen nights of seven clients, one of them a liar, each by another rule, strategy or
    weight.
    """
    fed = federation(
        "rules", clients=7, policy=PolicyPack(trust_min=0, sealed=False, stability_min=0.0)
    )
    fed.amend(
        clients=tuple(
            replace(c, organisation=f"group {i // 3}") for i, c in enumerate(fed.registry.clients)
        )
    )
    policies: list[dict[str, Any]] = [
        {"rule": "mean"},
        {"rule": "median", "f": 1},
        {"rule": "trimmed-mean", "f": 2},
        {"rule": "krum", "f": 1},
        {"rule": "multi-krum", "f": 2},
        {"rule": "bulyan", "f": 1},
        {"rule": "mda", "f": 1},
        {"strategy": "union"},
        {"strategy": "intersection"},
        {"strategy": "weighted", "n_cap": 128},
        {"strategy": "mean", "n_cap": 256},
        {"weigh_by": "reputation"},
        {"f": 1, "organisation_cap": 1.5},
    ]
    for r, policy in enumerate(policies, 1):
        semantic = CausalSemanticPack(
            [(0, 1, 0.5), (1, 2, -1.0)], [3], [{"do": "heat", "to": 1.5, "times": r}]
        )
        hyper = HyperedgeTable.build(
            sources=[[0, 1], [0, 1, 3]],
            target=[2, 2],
            lag=[1, 1],
            effect=[0.5, -0.25],
            confidence=0.5,
            stability=0.5,
            hits=3,
            n=64,
        )
        night(
            fed,
            r,
            opened=policy,
            liars=("site-07",),
            semantic=semantic,
            hyperedges=hyper,
            claims=Claims(loss=r / 8),
        )
        yield fed, r


def baskets() -> Story:
    """Seven nights of two layers: three baskets of three, one of which is too small on a night, and
    another is split.
    """
    fed = federation(
        "baskets", clients=10, policy=PolicyPack(basket_minimum=2, influence_cap=0.5, trust_min=0)
    )
    names = ["banks"] * 3 + ["plants"] * 4 + ["ports"] * 3
    fed.amend(
        clients=tuple(
            replace(c, basket=name) for c, name in zip(fed.registry.clients, names, strict=True)
        )
    )
    nights: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({}, ()),
        ({"group_weights": "trust"}, ("site-08", "site-09")),
        ({"group_weights": "equal", "minimum_groups": 2}, ()),
        ({"basket_maximum": 3}, ("site-05",)),
        ({"influence_cap": 0.34}, ()),
        ({"strategy": "mean"}, ("site-01", "site-02")),
        ({"f": 0, "organisation_cap": 1.0}, ()),
    ]
    for r, (policy, absent) in enumerate(nights, 1):
        night(fed, r, opened=policy, but=absent, liars=("site-10",))
        yield fed, r


PRIVATE = PolicyPack(
    privacy="central",
    strategy="mean",
    trust_min=0,
    max_lag=1,
    privacy_epsilon=Decimal(2),
    clip_norm=0.5,
)


def central() -> Story:
    """Eight nights that the coordinator noises: every edge, selected ones, in baskets; the last
    finds the budget used up.
    """
    fed = federation(
        "central",
        clients=8,
        variables=4,
        policy=PRIVATE,
        budget=Budget(epsilon=Decimal(11), minimum_support=2),
    )
    fed.amend(
        clients=tuple(
            replace(c, basket=("banks", "plants")[i % 2])
            for i, c in enumerate(fed.registry.clients)
        )
    )
    nights: list[dict[str, Any]] = [
        # the first charge sets delta aside for choices to come
        {"discovery": "selected", "edges_per_client": 3},
        {},
        {"basket_minimum": 2},
        {
            "basket_minimum": 2,
            "group_weights": "equal",
            "discovery": "selected",
            "edges_per_client": 4,
        },
        {"g_min": 0.125, "stability_min": 0.5},
        {"clip_norm": 1.0},
    ]
    for r, policy in enumerate(nights, 1):
        night(fed, r, opened=policy, but=fed.clients[8 - r % 3 :])
        yield fed, r
    fed.open(7, privacy_epsilon=Decimal(7))
    fed.open(8, privacy_epsilon=Decimal(7))
    for r in (7, 8):  # each fitted when it was opened; together they do not
        send(fed, r)
    for r in (7, 8):
        fed.run(r, now=fed.night(r))
        yield fed, r


def local() -> Story:
    """Five nights that clients noise themselves, with one late message and one client that noises
    nothing.
    """
    fed = federation(
        "local",
        clients=5,
        variables=4,
        policy=replace(PRIVATE, privacy="local"),
        budget=Budget(epsilon=Decimal(30)),
    )
    for r in range(1, 6):
        fed.open(r)
        if r == 3:
            fed.submit("site-04", found(fed, "site-04", 2), round_id=2)
        if r == 4:
            fed.put(
                fed.envelope("site-05", round_id=r, update=found(fed, "site-05", r)),
                "site-05",
                round_id=r,
            )
        send(fed, r, but={2: ("site-04",), 3: ("site-04",), 4: ("site-05",)}.get(r, ()))
        fed.run(r)
        yield fed, r


def refused() -> Story:
    """Seven nights of what is not counted and who is told why, in pages of sealed receipts and in
    small packs.
    """
    fed = federation(
        "refused",
        clients=6,
        limits=Limits(own_receipts=4, pack_bytes=2000, max_update_bytes=20_000),
    )
    one, two, three, four, *_ = fed.clients
    fed.open(1)
    for slot, wrong in enumerate(
        (
            fed.envelope(one, key_pair=key_of("stranger")),
            fed.envelope(one, audience="clients"),
            b"\x00" * 20_001,
        )
    ):
        fed.put(wrong, one, slot=slot + 1)
    send(fed, 1)
    fed.run(1)
    yield fed, 1
    fed.open(2)
    repeated = fed.objects(Keys.inbox(1, two, 0))[Keys.inbox(1, two, 0)]
    fed.put(repeated, two, round_id=2, slot=3)
    fed.put(fed.envelope(two, round_id=2), one, round_id=2, slot=3)
    fed.put(
        fed.envelope(three, round_id=2, sequence=77, update=found(fed, three, 2)), three, round_id=2
    )
    fed.put(
        fed.envelope(three, round_id=2, sequence=77, update=found(fed, three, 3)),
        three,
        round_id=2,
        slot=1,
    )
    fed.put(fed.envelope(four, round_id=2, sealed=False), four, round_id=2)
    send(fed, 2, but=(three, four))
    fed.run(2)
    yield fed, 2
    fed.open(3)
    fed.revoke(four, from_round=3)
    send(fed, 3, but=(four,))
    fed.put(fed.envelope(four, round_id=3), four, round_id=3)
    fed.run(3)
    yield fed, 3
    fed.rotate(two, key_of("two, rotated"), from_round=4, overlap=0)
    fed.open(4)
    late = fed.opens(4) - timedelta(days=1)
    fed.put(
        fed.envelope(three, round_id=4, created=late, expires=late + timedelta(hours=1)),
        three,
        round_id=4,
    )
    fed.put(fed.envelope(one, round_id=4, policy=b"p" * 32), one, round_id=4)
    send(fed, 4, but=(one, three, four))
    fed.run(4)
    yield fed, 4
    second = key_of("second coordinator")
    fed.amend(coordinators=(*fed.registry.coordinators, KeyRecord(keys=second.public)))
    fed.open(5)
    send(fed, 5, but=(four,))
    first = fed.runner(5)
    first.freeze(5, first.validate(first.collect(5)))
    fed.runner(5, key_pair=second, now=fed.night(5) + timedelta(hours=1)).run(5)
    yield fed, 5
    fed.open(6)  # nobody comes, and round 7 ends it
    night(fed, 7, but=(four,))
    yield fed, 6
    yield fed, 7


STORIES: tuple[Callable[[], Story], ...] = (plain, rules, baskets, central, local, refused)
