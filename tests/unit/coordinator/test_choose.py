"""Which admitted updates a round counts: cohort, late ones, superseded ones, windows counted
before, excluded clients, claims (R-93 to R-96).
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hyperfed.coordinator.choose import Choice, choose
from hyperfed.coordinator.reputation import excluded_of, trust_of
from hyperfed.packets import PolicyPack
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import REMEMBERED, ClientState, Plan, RoundState
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.validator.admission import Admission, Admitted

GENESIS = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = Plan(
    federation="fed",
    round=5,
    registry_version=1,
    registry_digest=b"r" * 32,
    newest_commit_round=4,
    newest_commit=b"c" * 32,
    policy=PolicyPack(),
    vocabulary=Vocabulary.of("x", "y"),
    cohort=("ann", "bob", "cas"),
    quorum=2,
    opens=GENESIS,
    deadline=GENESIS + timedelta(days=1),
    close_by=GENESIS + timedelta(days=2),
)


def sent(client: str, made_for: int = 5, *, sequence: int = 50, claim: int = 0) -> Admitted:
    digest = f"{client}{made_for}{sequence}".encode().ljust(32)
    return Admitted(
        key=Keys.inbox(made_for, client, 0),
        client=client,
        made_for=made_for,
        sequence=sequence,
        digest=digest,
        claim_sequence=claim,
        claim_digest=bytes([claim]) * 32,
    )


def state(
    client: str, *, windows: tuple[int, ...] = (4,), beta: float = 0.0, nights: int = 4
) -> ClientState:
    return ClientState(
        client=client,
        highest_sequence=40,
        windows=windows,
        last_round=4,
        last_digest=b"d" * 32,
        alpha=0.0,
        beta=beta,
        rounds_seen=nights,
        rounds_missed=0,
        weight=1.0,
        agreement=0.5,
    )


def base(*clients: ClientState, round_id: int = 4) -> RoundState:
    return RoundState(
        federation="fed",
        round=round_id,
        freeze=b"f" * 32,
        result=b"r" * 32,
        base_state=b"",
        clients=clients,
    )


def chosen(*items: Admitted, before: RoundState | None = None, plan: Plan = PLAN) -> Choice:
    return choose(Admission(admitted=items, refused=()), base=before, plan=plan)


def told(choice: Choice) -> dict[str, str]:
    return {r.key: r.rule for r in choice.refused}


def test_everyone_of_the_cohort_counts_in_order_whatever_the_order_of_arrival() -> None:
    items = [sent("cas"), sent("ann", 4), sent("bob")]
    assert chosen(*items) == chosen(*reversed(items))
    assert [(c.client, c.made_for) for c in chosen(*items).counted] == [
        ("ann", 4),
        ("bob", 5),
        ("cas", 5),
    ]


def test_a_clients_own_round_beats_a_late_one_even_with_a_lower_sequence() -> None:
    choice = chosen(sent("ann", 4, sequence=60), sent("ann", 5, sequence=50))
    assert [c.made_for for c in choice.counted] == [5]
    assert told(choice) == {Keys.inbox(4, "ann", 0): "R-93"}


def test_a_window_that_was_counted_does_not_count_again() -> None:
    choice = chosen(sent("ann", 4), sent("bob", 3), before=base(state("ann"), state("bob")))
    assert [(c.client, c.made_for) for c in choice.counted] == [("bob", 3)], (
        "bob was counted for 4, not for 3"
    )
    assert told(choice) == {Keys.inbox(4, "ann", 0): "R-94"}


def test_what_is_older_than_memory_is_not_counted() -> None:
    late = replace(PLAN, round=REMEMBERED + 9)
    choice = chosen(sent("ann", 8), sent("bob", 9), before=base(round_id=REMEMBERED + 8), plan=late)
    assert [c.client for c in choice.counted] == ["bob"]
    assert told(choice) == {Keys.inbox(8, "ann", 0): "R-94"}


def test_strangers_to_the_plan_do_not_count() -> None:
    assert told(chosen(sent("dan"))) == {Keys.inbox(5, "dan", 0): "R-96"}


def test_a_client_without_trust_is_excluded_after_enough_nights_only() -> None:
    before = base(state("ann", beta=90.0), state("bob", beta=90.0, nights=2), state("cas"))
    assert trust_of(before, "ann") < PLAN.policy.trust_min
    assert excluded_of(before, PLAN.policy) == {"ann": trust_of(before, "ann")}
    choice = chosen(sent("ann"), sent("bob"), before=before)
    assert [c.client for c in choice.counted] == ["bob"]
    assert choice.excluded == ("ann",)
    assert told(choice) == {Keys.inbox(5, "ann", 0): "R-95"}


@pytest.mark.parametrize("client", ["ann", "dan"])
def test_the_highest_verified_claim_is_kept_whoever_makes_it(client: str) -> None:
    choice = chosen(sent("bob", claim=3), sent(client, claim=7), sent("cas", 4, claim=5))
    assert (choice.claim_sequence, choice.claim_digest) == (7, b"\7" * 32)


def test_a_state_finds_its_clients() -> None:
    before = base(state("ann"), state("cas"))
    assert before.of("ann") == state("ann")
    assert before.of("cas") == state("cas")
    assert [before.of(c) for c in ("aaa", "bob", "zed")] == [None] * 3
