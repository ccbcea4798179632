"""Two coordinators at once, over the real RoundRunner (R-60 to R-69): every point of preemption
with every fault there, and deep random schedules.

The test of the test: each classic mistake, seeded into the real code one at a time, is caught by
these schedules.
"""

import copy
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hyperfed.config import Limits
from hyperfed.coordinator import collecting
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import HyperfedError
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import Budget
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.faults import Fault
from hyperfed.testing.federation import SmallFederation
from tests.fault.invariants import check_dropbox
from tests.fault.mistakes import (
    Seed,
    agg_inbox,
    content_address,
    freeze_first,
    freeze_over,
    late_twice,
    ledger_over,
    no_id,
    no_order,
    publish_first,
    refund_early,
    refund_nothing,
    result_over,
)
from tests.fault.turns import Actor, Box

pytestmark = pytest.mark.usefixtures("costly")

FAULTS = (None, Fault.LOST_REQUEST, Fault.LOST_REPLY, Fault.DUPLICATE)
BUDGET = Budget(epsilon=Decimal(3))  # slack: some faults only show where a second spending fits


def federation(*, over: tuple[str, ...] = (), quorum: int | None = None) -> SmallFederation:
    """Two open rounds. Round 1: all but site-03, whose update comes late. Round 2: all but site-02.
    Two updates fill a pack. `quorum` is round 1's.
    """
    fed = SmallFederation(store=Box(over=over), budget=BUDGET, limits=Limits(pack_bytes=2600))
    fed.open(1, quorum=quorum)
    fed.open(2)
    fed.submit_all(round_id=1, but=["site-03"])
    fed.submit_all(round_id=2, but=["site-02"])
    return fed


def on(fed: SmallFederation, *, over: tuple[str, ...] = ()) -> SmallFederation:
    """The same federation on a copy of its drop-box."""
    twin = copy.copy(fed)
    twin.store, twin.memories = fed.store.copy(over=over), copy.deepcopy(fed.memories)
    return twin


def coordinator(fed: SmallFederation, round_id: int, *, nights: float = 0) -> Actor:
    """One that runs a round, on the clock of some nights later."""
    return Actor(
        fed.store,
        lambda store: fed.runner(
            round_id, now=fed.night(round_id) + timedelta(days=nights), store=store
        ).run(round_id),
    )


def check_now(fed: SmallFederation) -> None:
    """What must hold at every instant, cheaply."""
    box = fed.store
    assert not box.overwritten, f"{box.overwritten} changed"
    ledger = DropBoxReader(box, fingerprint=fed.fingerprint).ledger()
    for round_id, digests in box.released.items():
        assert len(digests) <= 1, "two noised values were readable"
        assert not digests or any(
            c.entry.kind is EntryKind.RESERVE and c.entry.round == round_id for c in ledger
        ), "released before it was reserved"


def settle(fed: SmallFederation, rounds: tuple[int, ...]) -> None:
    """Whoever is left finishes, on a good store and long after; then everything must hold."""
    check_now(fed)
    for round_id in rounds:
        fed.runner(round_id, now=fed.night(round_id) + timedelta(days=9)).run(round_id)
    check_now(fed)
    check_dropbox(fed, rounds=rounds)


def schedules(
    fed: SmallFederation,
    other: Callable[[SmallFederation], Actor],
    rounds: tuple[int, ...],
    *,
    over: tuple[str, ...] = (),
    begins: Callable[[SmallFederation], Actor] = lambda fed: coordinator(fed, 1),
) -> Iterator[None]:
    """A coordinator, by default of round 1, is interrupted before each of its operations; another
    runs to its end; the first goes on with a fault, then ends.
    """
    for fault in FAULTS:
        at = 0
        while True:
            twin = on(fed, over=over)
            first = begins(twin)
            for _ in range(at):
                if not first.done:
                    first.step()
            if first.done:
                break
            other(twin).finish()
            check_now(twin)
            first.step(fault)
            check_now(twin)
            first.finish()
            settle(twin, rounds)
            at += 1
            yield


def rival(fed: SmallFederation) -> Actor:
    """Another one of the same round, on a clock of its own: what it writes differs."""
    return coordinator(fed, 1, nights=0.25)


def next_night(fed: SmallFederation) -> Actor:
    """Round 2's coordinator, on whose clock round 1 is past its close_by."""
    return coordinator(fed, 2, nights=1)


def straggler(fed: SmallFederation) -> Actor:
    """Site-03's update of round 1, and a coordinator on whose clock it is in time."""
    fed.submit("site-03", round_id=1)
    return coordinator(fed, 1)


def nobody(fed: SmallFederation) -> Actor:
    """The first one is alone with its faults."""
    return Actor(fed.store, lambda store: None)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("other", "rounds"), [(rival, (1,)), (next_night, (1, 2)), (nobody, (1,))])
def test_every_preemption_of_one_coordinator_by_another(
    other: Callable[[SmallFederation], Actor], rounds: tuple[int, ...]
) -> None:
    count = sum(1 for _ in schedules(federation(), other, rounds))
    assert count > 4 * 20, "every operation of the round was interrupted, with every fault"


# -- deep random schedules -------------------------------------------------------------------------


class Weather(RuleBasedStateMachine):
    """Up to three coordinators, of either round, on clocks of their own, with any faults, kills and
    late updates in between.
    """

    @initialize()
    def begin(self) -> None:
        self.fed = federation()
        self.actors: list[Actor] = []
        self.sent = 0

    @precondition(lambda self: sum(not a.done for a in self.actors) < 3)
    @rule(round_id=st.sampled_from([1, 1, 2]), nights=st.sampled_from([0, 0, 1, 3]))
    def start(self, round_id: int, nights: int) -> None:
        self.actors.append(coordinator(self.fed, round_id, nights=nights))

    @precondition(lambda self: any(not a.done for a in self.actors))
    @rule(data=st.data(), fault=st.sampled_from(FAULTS), steps=st.integers(1, 12))
    def work(self, data: st.DataObject, fault: Fault | None, steps: int) -> None:
        actor = data.draw(st.sampled_from([a for a in self.actors if not a.done]))
        for _ in range(steps - 1):
            if not actor.done:
                actor.step()
        if not actor.done:
            actor.step(fault)

    @precondition(lambda self: any(not a.done for a in self.actors))
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from([a for a in self.actors if not a.done])).kill()

    @precondition(lambda self: self.sent < 2)
    @rule(client=st.sampled_from(["site-01", "site-03"]), round_id=st.sampled_from([1, 2]))
    def arrive(self, client: str, round_id: int) -> None:
        self.sent += 1
        self.fed.submit(client, round_id=round_id)

    @invariant()
    def holds(self) -> None:
        check_now(self.fed)

    def teardown(self) -> None:
        for actor in self.actors:
            actor.kill()
        settle(self.fed, (1, 2))


def test_any_schedule_of_coordinators_faults_and_kills_ends_right() -> None:
    _search(12)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_any_schedule_of_coordinators_faults_and_kills_ends_right_many_times() -> None:
    _search(60)


def _search(examples: int) -> None:
    run_state_machine_as_test(
        Weather,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


# -- the classic mistakes, seeded into the real code -----------------------------------------------


def correction(fed: SmallFederation) -> Actor:
    """Site-02 corrects its update of round 1 after round 1 was committed, and is not in round 2."""
    coordinator(fed, 1).finish()
    fed.submit("site-02", round_id=1)
    return coordinator(fed, 2)


MISTAKES: list[tuple[Seed, Callable[[SmallFederation], Actor], tuple[int, ...]]] = [
    (no_id, rival, (1,)),
    (result_over, rival, (1,)),
    (freeze_over, rival, (1,)),
    (ledger_over, straggler, (1, 2)),
    (content_address, rival, (1,)),
    (refund_early, straggler, (1, 2)),
    (refund_nothing, straggler, (1, 2)),
    (agg_inbox, rival, (1,)),
    (no_order, next_night, (1, 2)),
    (publish_first, rival, (1,)),
    (late_twice, correction, (1, 2)),
    (freeze_first, nobody, (1,)),
]


@pytest.mark.parametrize(
    ("seed", "other", "rounds"), MISTAKES, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_classic_mistake_in_the_real_code_is_caught(
    seed: Seed,
    other: Callable[[SmallFederation], Actor],
    rounds: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a straggler comes, round 1 lacks its quorum until then; the next night voids it."""
    late = other is straggler
    fed, over = federation(quorum=3 if late else None), seed(monkeypatch)
    begins = next_night if late else (lambda fed: coordinator(fed, 1))
    with pytest.raises((AssertionError, HyperfedError)):
        for _ in schedules(fed, other, rounds, over=over, begins=begins):
            pass


def test_a_void_rounds_update_that_is_forgotten_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """late_by_freeze, and its honest twin: what a void round froze counts late in the next.

    Round 1 freezes one basket where two are asked for, so that it can release nothing.
    """

    def night() -> set[tuple[str, int]]:
        fed = SmallFederation(store=Box())
        fed.open(1, basket_minimum=1, minimum_groups=2)
        fed.open(2)
        fed.submit_all(round_id=1, but=["site-03"])
        fed.submit_all(round_id=2, but=["site-02"])
        coordinator(fed, 2, nights=1).finish()
        assert fed.objects(Keys.freeze(1))
        frozen = fed.reader().freeze(2)
        assert frozen is not None
        return {(c.client, c.made_for) for c in frozen.value.counted}

    assert ("site-02", 1) in night()
    honest = collecting._judged

    def takes_void_for_counted(reader: DropBoxReader, first: int, round_id: int) -> set[str]:
        frozen = [reader.freeze(r) for r in range(first, round_id)]
        return honest(reader, first, round_id) | {
            c.key for f in frozen if f for c in f.value.counted
        }

    monkeypatch.setattr(collecting, "_judged", takes_void_for_counted)
    assert ("site-02", 1) not in night()


def test_the_store_that_actors_share_is_an_object_store() -> None:
    """Guards the kit: an actor's operations reach the box, one a step."""
    box = Box()
    actor = Actor(box, lambda store: _twice(store))
    assert actor.wants == "put a"
    actor.step()
    assert box.read("a", max_bytes=9) == b"1"
    actor.step(Fault.LOST_REPLY)
    assert actor.done
    assert box.read("b", max_bytes=9) == b"2"
    assert actor.error is not None


def _twice(store: ObjectStore) -> None:
    store.put_if_absent("a", b"1")
    store.put_if_absent("b", b"2")
