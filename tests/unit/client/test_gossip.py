"""A basket's gossip at the drop-box: what it finds, what it costs, and what it refuses."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperfed.client import ClientMemory
from hyperfed.client.gossip import Exchange, GossipAtDropBox
from hyperfed.codec import PayloadCodec
from hyperfed.crypto.envelope import PacketType, open_envelope, verify_envelope
from hyperfed.crypto.sealing import open_body
from hyperfed.errors import (
    ConfigError,
    PrivacyBudgetExhausted,
    PrivacyError,
    RefusedError,
    RoundError,
    SignatureError,
)
from hyperfed.gossip.sealed import verify_gossip
from hyperfed.gossip.terms import terms_of
from hyperfed.packets import PolicyPack, SumsPolicy, Update
from hyperfed.privacy.slots import dense, public_slots
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Plan
from hyperfed.registry.registry import Budget
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import SmallFederation

SHARE = Budget(gossip_epsilon=Decimal(4), gossip_delta=Decimal("0.00001"))
LOCAL: dict[str, Any] = {
    "strategy": "mean",
    "trust_min": 0.0,
    "privacy": "local",
    "g_min": 0.0,
    "lags": (1,),
}
WAIT = timedelta(hours=1)


def federation(clients: int = 5, *, budget: Budget = SHARE, **policy: Any) -> SmallFederation:
    fields: dict[str, Any] = {"lags": (1,), **policy}
    return SmallFederation(clients=clients, budget=budget, policy=PolicyPack(**fields))


def at(fed: SmallFederation, hours: float = 1.0, round_id: int = 1) -> datetime:
    return fed.opens(round_id) + timedelta(hours=hours)


def run(
    fed: SmallFederation, client: str, *, now: datetime, round_id: int | None = None
) -> Exchange:
    gossip = GossipAtDropBox(fed.session(client))
    return gossip.exchange(lambda plan: fed.update(client), now=now, round_id=round_id)


def run_all(fed: SmallFederation, epochs: int, *, round_id: int = 1) -> None:
    for epoch in range(epochs):
        for client in fed.clients:
            run(fed, client, now=at(fed, 1 + epoch, round_id))


def message_of(fed: SmallFederation, client: str, round_id: int = 1) -> np.ndarray:
    """Returns the noised message that a client left in epoch 0."""
    data = fed.store.read(Keys.gossip(round_id, 0, client), max_bytes=1 << 20)
    signed = verify_gossip(data, registry=fed.registry, client=client, round_id=round_id, epoch=0)
    return numbers(open_body(signed, fed.keys[client]))


def numbers(body: bytes | memoryview) -> np.ndarray:
    update = PayloadCodec().decode(body, Update)
    assert update.edges is not None
    return dense(update.edges, public_slots(4, (1,)))


def messages(fed: SmallFederation, round_id: int = 1) -> dict[str, np.ndarray]:
    return {client: message_of(fed, client, round_id) for client in fed.clients}


class ClockOff(MemoryStore):
    skew = 0.0

    @property
    def clock_skew_s(self) -> float | None:
        return self.skew


def never(plan: Plan) -> Update:
    raise AssertionError("looked at data again")


@pytest.mark.parametrize("policy", [{}, LOCAL], ids=["gossip's share", "local round"])
def test_a_basket_finds_the_average_of_its_messages(policy: dict[str, Any]) -> None:
    fed = federation(**policy)
    fed.open(1)
    run_all(fed, 4)
    wanted = np.mean(list(messages(fed).values()), axis=0)
    for client in fed.clients:
        average = GossipAtDropBox(fed.session(client)).average(now=at(fed, 9))
        assert np.allclose(average.values, wanted, atol=1e-3)
        assert average.senders == tuple(c for c in fed.clients if c != client)


@pytest.mark.parametrize("policy", [{}, LOCAL], ids=["gossip's share", "local round"])
def test_a_clock_that_is_off_is_said_before_anything_is_drawn_or_charged(
    policy: dict[str, Any],
) -> None:
    """Peers would refuse what was signed, and the round's one message would be spent on it."""
    store = ClockOff()
    fed = SmallFederation(store=store, budget=SHARE, policy=PolicyPack(**{"lags": (1,), **policy}))
    fed.open(1)
    client, before = fed.clients[0], fed.objects()
    store.skew = -3600.0
    with pytest.raises(ConfigError, match="3600 s behind the store's; 600 s are tolerated"):
        GossipAtDropBox(fed.session(client)).exchange(never, now=at(fed))
    assert fed.objects() == before
    assert fed.memories[client].gossip.of(1) is None
    store.skew = 0.0
    assert run(fed, client, now=at(fed)).began
    began = fed.objects()
    store.skew = 3600.0
    with pytest.raises(ConfigError, match="ahead of the store's"):
        run(fed, client, now=at(fed, 3))
    assert fed.objects() == began


@pytest.mark.parametrize("first", ["gossip", "submit"])
def test_in_a_local_round_the_message_is_the_rounds_own_and_costs_nothing_more(first: str) -> None:
    fed = federation(**LOCAL)
    fed.open(1)
    client = fed.clients[0]
    if first == "submit":
        fed.submit(client)
        gossip = GossipAtDropBox(fed.session(client))
        assert gossip.exchange(never, now=at(fed)).began  # nothing is looked at again
    else:
        run(fed, client, now=at(fed))
        fed.submit(client)
    memory = fed.memories[client]
    assert len(memory.privacy_guard(SHARE).accountant.mechanisms) == 1
    assert memory.gossip_guard(Decimal(4), Decimal("0.00001")).spent_epsilon == 0
    inbox = verify_envelope(
        open_envelope(fed.store.read(Keys.inbox(1, client, 0), max_bytes=1 << 20)),
        expect=PacketType.UPDATE,
        key_of=lambda _: fed.keys[client].public.signing,
    )
    assert np.array_equal(numbers(open_body(inbox, fed.coordinator)), message_of(fed, client))


def test_the_message_is_noised_and_charged_once_to_gossips_share() -> None:
    fed = federation()
    fed.open(1)
    run_all(fed, 3)
    exact = dense(fed.update(fed.clients[0]).edges, public_slots(4, (1,)))  # type: ignore[arg-type]
    terms = terms_of(fed.reader(), fed.clients[0], 1)
    spread = np.std([m - exact for m in messages(fed).values()])
    assert 0.7 * terms.release.noise_std < spread < 1.3 * terms.release.noise_std
    guard = GossipAtDropBox(fed.session(fed.clients[0])).guard()
    assert guard.accountant.mechanisms == terms.release.mechanisms
    rounds = fed.memories[fed.clients[0]].privacy_guard(fed.registry.budget)
    assert rounds.accountant.mechanisms == ()


def test_only_the_first_epoch_looks_at_data() -> None:
    fed = federation()
    fed.open(1)
    for client in fed.clients:
        run(fed, client, now=at(fed))
    for hours in (2, 3, 4):
        for client in fed.clients:
            GossipAtDropBox(fed.session(client)).exchange(never, now=at(fed, hours))


def test_without_a_share_nothing_is_drawn_and_nothing_moves() -> None:
    fed = federation(budget=Budget())
    fed.open(1)
    with pytest.raises(PrivacyError, match="no share") as raised:
        run(fed, fed.clients[0], now=at(fed))
    assert raised.value.rule == "R-145"
    assert not fed.objects("gossip/")
    assert fed.memories[fed.clients[0]].gossip.rounds() == []


def test_the_share_ends_and_then_nothing_is_drawn() -> None:
    fed = federation(3)
    for round_id in range(1, 40):
        fed.open(round_id)
        try:
            run(fed, fed.clients[0], now=at(fed, 1, round_id), round_id=round_id)
        except PrivacyBudgetExhausted:
            break
    else:
        pytest.fail("the share never ended")
    spent = GossipAtDropBox(fed.session(fed.clients[0])).guard().accountant.total
    assert round_id > 2
    assert spent.epsilon <= Decimal(4)
    assert not fed.objects(Keys.gossip(round_id))


def test_the_roots_cannot_raise_the_share_once_it_is_granted() -> None:
    fed = federation()
    fed.open(1)
    run(fed, fed.clients[0], now=at(fed))
    more = Budget(gossip_epsilon=Decimal(9), gossip_delta=Decimal("0.00009"))
    fed.amend(budget=more)
    guard = GossipAtDropBox(fed.session(fed.clients[0])).guard()
    assert (guard.max_epsilon, guard.max_delta) == (Decimal(4), Decimal("0.00001"))
    fed.amend(budget=Budget())
    with pytest.raises(PrivacyError, match="no share"):
        GossipAtDropBox(fed.session(fed.clients[0])).guard()
    fed.amend(budget=SHARE)
    with pytest.raises(PrivacyError, match="no share"):
        GossipAtDropBox(fed.session(fed.clients[0])).guard()


def test_a_round_that_nobody_opened_goes_on_by_the_plan_before_it() -> None:
    fed = federation(**LOCAL)
    fed.open(1)
    run_all(fed, 3, round_id=2)
    assert fed.reader().plan(2) is None
    wanted = np.mean(list(messages(fed, 2).values()), axis=0)
    average = GossipAtDropBox(fed.session(fed.clients[0])).average(now=at(fed, 9, 2))
    assert average.terms.announced.round == 1
    assert np.allclose(average.values, wanted, atol=1e-3)
    # no ledger counts that round: gossip's share does
    guard = GossipAtDropBox(fed.session(fed.clients[0])).guard()
    assert guard.has_charged("small-fed/gossip/2")


def test_a_client_stays_with_the_plan_that_it_began_with() -> None:
    fed = federation()
    fed.open(1)
    run(fed, fed.clients[0], now=at(fed, 1, 2))
    fed.open(2)
    assert run(fed, fed.clients[0], now=at(fed, 2, 2)).announced == 1
    assert run(fed, fed.clients[1], now=at(fed, 2, 2)).announced == 2


def test_without_any_plan_there_is_no_gossip() -> None:
    fed = federation()
    with pytest.raises(RoundError, match="no plan") as raised:
        run(fed, fed.clients[0], now=at(fed))
    assert raised.value.rule == "R-146"


def test_a_client_alone_in_its_basket_has_no_peers() -> None:
    fed = federation(1)
    fed.open(1, quorum=1)
    with pytest.raises(RoundError, match="no peers"):
        run(fed, fed.clients[0], now=at(fed))
    assert not fed.objects("gossip/")


@pytest.mark.parametrize(
    "policy",
    [{}, {**LOCAL, "statistics": SumsPolicy(row_norm=3.0), "max_staleness": 0}],
    ids=["gossip's share", "local round"],
)
def test_a_round_of_statistics_has_no_effects_to_average(policy: dict[str, Any]) -> None:
    fed = federation(budget=replace(SHARE, unit="record"), payload="statistics", **policy)
    fed.open(1)
    with pytest.raises(RoundError, match="shares statistics") as raised:
        run(fed, fed.clients[0], now=at(fed))
    assert raised.value.rule == "R-146"
    assert not fed.objects("gossip/")


def test_late_and_missing_peers_leave_an_average_of_the_rest() -> None:
    fed = federation(5)
    fed.open(1)
    away, late = fed.clients[0], fed.clients[1]
    for epoch in range(4):
        for client in fed.clients:
            if client != away and not (client == late and epoch < 2):
                run(fed, client, now=at(fed, 1 + epoch))
    for epoch in range(4, 8):
        for client in fed.clients[1:]:
            run(fed, client, now=at(fed, 1 + epoch))
    fed.clients = fed.clients[1:]
    wanted = np.mean(list(messages(fed).values()), axis=0)
    found = [GossipAtDropBox(fed.session(c)).average(now=at(fed, 20)).values for c in fed.clients]
    # what was given to the one who was away is gone with its weight
    spread = np.std(list(messages(fed).values()), axis=0).max()
    assert max(np.abs(one - wanted).max() for one in found) < spread
    assert np.ptp(np.array(found), axis=0).max() < 0.1 * spread


def test_an_epoch_waits_its_time_and_the_epochs_end() -> None:
    fed = federation(3)
    fed.open(1)
    client = fed.clients[0]
    run(fed, client, now=at(fed))
    again = run(fed, client, now=at(fed) + timedelta(minutes=1))
    assert (again.sent, again.epoch) == ("", 1)
    assert again.waits_until == at(fed) + timedelta(minutes=30)
    for epoch in range(20):
        for other in fed.clients:
            last = run(fed, other, now=at(fed, 2 + epoch))
    assert last.epoch <= last.epochs
    assert len(fed.objects("gossip/")) <= 3 * last.epochs


def test_without_a_move_nothing_is_pushed() -> None:
    fed = federation(3)
    fed.open(1)
    run(fed, fed.clients[0], now=at(fed))
    alone = run(fed, fed.clients[0], now=at(fed, 5))
    assert alone.sent == ""
    assert len(fed.objects("gossip/")) == 1
    run(fed, fed.clients[1], now=at(fed, 6))
    assert run(fed, fed.clients[0], now=at(fed, 7)).sent == Keys.gossip(1, 1, fed.clients[0])


def test_gossip_has_its_time() -> None:
    fed = federation(3)
    fed.open(1)
    for now in (fed.opens(1) - WAIT, fed.opens(3)):
        with pytest.raises(RoundError, match=r"has not begun|expired") as raised:
            run(fed, fed.clients[0], now=now, round_id=1)
        assert raised.value.rule == "R-150"
    assert not fed.objects("gossip/")


def with_memories(fed: SmallFederation, folder: Path) -> SmallFederation:
    fed.memories = {c: ClientMemory(folder / f"{c}.json") for c in fed.clients}
    return fed


def test_a_client_whose_state_was_lost_draws_no_second_message(tmp_path: Path) -> None:
    for policy in ({}, LOCAL):
        folder = tmp_path / str(len(policy))
        fed = with_memories(federation(3, **policy), folder)
        fed.open(1)
        client = fed.clients[0]
        run(fed, client, now=at(fed))
        before = fed.objects("gossip/")
        (file,) = folder.glob("*.gossip-*.bin")
        file.unlink()
        with pytest.raises(RefusedError) as raised:
            run(fed, client, now=at(fed, 2))
        assert raised.value.rule == "R-149"
        assert fed.objects("gossip/") == before


def test_a_bucket_that_hides_the_first_message_gets_no_second_one(tmp_path: Path) -> None:
    """Neither the drop-box nor the loss of a file can make a client draw twice for one charge."""
    fed = with_memories(federation(3), tmp_path)
    fed.open(1)
    run(fed, fed.clients[0], now=at(fed))
    next(tmp_path.glob("*.gossip-*.bin")).unlink()
    honest, fed.store = fed.store, type(fed.store)()
    for info in honest.list(""):
        if not info.key.startswith("gossip/"):
            fed.store.put_if_absent(info.key, honest.read(info.key, max_bytes=1 << 20))
    with pytest.raises(RefusedError, match="drawn"):
        run(fed, fed.clients[0], now=at(fed, 2))
    assert not fed.objects("gossip/")


def test_a_lost_guard_counts_what_lies_in_the_drop_box(tmp_path: Path) -> None:
    fed = with_memories(federation(3), tmp_path)
    for round_id in (1, 2):
        fed.open(round_id)
        run(fed, fed.clients[0], now=at(fed, 1, round_id))
    spent = GossipAtDropBox(fed.session(fed.clients[0])).guard().spent_epsilon
    next(tmp_path.glob("*.gossip-privacy.json")).unlink()
    fed.memories[fed.clients[0]] = ClientMemory(tmp_path / f"{fed.clients[0]}.json")
    fed.open(3)
    run(fed, fed.clients[0], now=at(fed, 1, 3))
    guard = GossipAtDropBox(fed.session(fed.clients[0])).guard()
    assert len(guard.accountant.mechanisms) == 3
    assert guard.spent_epsilon > spent


def test_each_process_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    fed = with_memories(federation(4), tmp_path)
    fed.open(1)
    for epoch in range(4):
        for client in fed.clients:
            fed.memories[client] = ClientMemory(tmp_path / f"{client}.json")  # a new process
            run(fed, client, now=at(fed, 1 + epoch))
    wanted = np.mean(list(messages(fed).values()), axis=0)
    average = GossipAtDropBox(fed.session(fed.clients[0])).average(now=at(fed, 9))
    assert np.allclose(average.values, wanted, atol=2e-3)


def test_only_the_last_two_rounds_are_kept(tmp_path: Path) -> None:
    fed = with_memories(federation(3), tmp_path)
    for round_id in (1, 2, 3):
        fed.open(round_id)
        run(fed, fed.clients[0], now=at(fed, 1, round_id))
    assert fed.memories[fed.clients[0]].gossip.rounds() == [3, 2]
    with pytest.raises(RoundError, match="no part"):
        GossipAtDropBox(fed.session(fed.clients[0])).average(now=at(fed, 2, 3), round_id=1)


def test_what_lies_for_peers_is_sealed_to_them_and_to_its_sender() -> None:
    fed = federation(12)
    fed.open(1)
    client = fed.clients[3]
    run(fed, client, now=at(fed))
    data = fed.store.read(Keys.gossip(1, 0, client), max_bytes=1 << 20)
    signed = verify_gossip(data, registry=fed.registry, client=client, round_id=1, epoch=0)
    readers = {*terms_of(fed.reader(), client, 1).plan.neighbours(0, client), client}
    assert len(readers) == 7
    for other in fed.clients:
        if other in readers:
            open_body(signed, fed.keys[other])
        else:
            with pytest.raises(SignatureError):
                open_body(signed, fed.keys[other])
    with pytest.raises(SignatureError):
        open_body(signed, fed.coordinator)
