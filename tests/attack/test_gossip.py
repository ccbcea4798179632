"""What a basket's members, its bucket and its coordinator can do to gossip, each with its honest
twin: the same exchange in which nobody attacks.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from hyperfed.client.gossip import GossipAtDropBox
from hyperfed.codec import PayloadCodec
from hyperfed.crypto.envelope import Header, PacketType, sign_envelope
from hyperfed.crypto.keys import KeyPair
from hyperfed.crypto.sealing import bind_body, seal_body
from hyperfed.errors import PrivacyBudgetExhausted
from hyperfed.gossip import Share
from hyperfed.gossip.messages import encode_share
from hyperfed.gossip.terms import GossipTerms, terms_of
from hyperfed.packets import PolicyPack
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import Budget
from hyperfed.testing.federation import SmallFederation

VICTIM, LIAR, OTHER = "site-01", "site-02", "site-03"


def federation() -> SmallFederation:
    share = Budget(gossip_epsilon=Decimal(4), gossip_delta=Decimal("0.00001"))
    fed = SmallFederation(clients=3, budget=share, policy=PolicyPack(lags=(1,)))
    fed.open(1)
    return fed


def at(fed: SmallFederation, hours: float) -> datetime:
    return fed.opens(1) + timedelta(hours=hours)


def step(fed: SmallFederation, client: str, hours: float) -> None:
    around = GossipAtDropBox(fed.session(client))
    around.exchange(lambda plan: fed.update(client), now=at(fed, hours), round_id=1)


def average(fed: SmallFederation, client: str = VICTIM) -> np.ndarray:
    return GossipAtDropBox(fed.session(client)).average(now=at(fed, 20)).values


def forged(
    fed: SmallFederation,
    terms: GossipTerms,
    *,
    body: bytes | None = None,
    epoch: int = 1,
    keys: KeyPair | None = None,
    sealed: bool = True,
    share: dict[str, object] | None = None,
    type_: PacketType = PacketType.GOSSIP,
    **changes: object,
) -> bytes:
    """An envelope that the liar makes by hand: everything can differ from an honest one."""
    keys = keys or fed.keys[LIAR]
    fields: dict[str, object] = {
        "round": 1,
        "epoch": epoch,
        "sender": LIAR,
        "weight": 1 / 3,
        "values": np.ones(terms.plan.length),
    }
    made = encode_share(Share(**(fields | (share or {}))))  # type: ignore[arg-type]
    head: dict[str, object] = {
        "federation": fed.registry.federation,
        "round": 1,
        "sender": LIAR,
        "key_id": keys.key_id,
        "audience": "peers",
        "sequence": epoch,
        "nonce": b"n" * 16,
        "created": at(fed, 2),
        "expires": terms.expires,
        "policy": terms.policy,
        "vocabulary": terms.announced.vocabulary.digest,
    }
    header = Header(**(head | changes))  # type: ignore[arg-type]
    text = made if body is None else body
    if sealed:
        readers = [fed.keys[c].public for c in fed.clients]
        header, text = seal_body(header, text, readers)
    else:
        header = bind_body(header, text)
    return sign_envelope(type_, header, text, [keys])


Forge = Callable[[SmallFederation, GossipTerms], bytes]
FORGERIES: dict[str, Forge] = {
    "noise": lambda fed, terms: b"no envelope",
    "signed by another": lambda fed, terms: forged(fed, terms, keys=fed.keys[OTHER]),
    "signed by a stranger": lambda fed, terms: forged(fed, terms, keys=KeyPair.generate()),
    "in another's name": lambda fed, terms: forged(fed, terms, sender=OTHER),
    "another's share inside": lambda fed, terms: forged(fed, terms, share={"sender": OTHER}),
    "of another epoch": lambda fed, terms: forged(fed, terms, sequence=2),
    "of another epoch inside": lambda fed, terms: forged(fed, terms, share={"epoch": 2}),
    "of another round": lambda fed, terms: forged(fed, terms, round=2),
    "of another round inside": lambda fed, terms: forged(fed, terms, share={"round": 2}),
    "of another federation": lambda fed, terms: forged(fed, terms, federation="elsewhere"),
    "for somebody else": lambda fed, terms: forged(fed, terms, audience="coordinator"),
    "an update": lambda fed, terms: forged(fed, terms, type_=PacketType.UPDATE),
    "not sealed": lambda fed, terms: forged(fed, terms, sealed=False),
    "of another policy": lambda fed, terms: forged(fed, terms, policy=b"p" * 32),
    "of another vocabulary": lambda fed, terms: forged(fed, terms, vocabulary=b"v" * 32),
    "from the future": lambda fed, terms: forged(fed, terms, created=at(fed, 30)),
    "expired": lambda fed, terms: forged(fed, terms, expires=at(fed, 1)),
    "not a number": lambda fed, terms: forged(
        fed, terms, share={"values": np.full(terms.plan.length, np.nan)}
    ),
    "too short": lambda fed, terms: forged(fed, terms, share={"values": np.ones(3)}),
    "too long": lambda fed, terms: forged(fed, terms, share={"values": np.ones(10**5)}),
    "without weight": lambda fed, terms: forged(fed, terms, share={"weight": 0.0}),
    "of negative weight": lambda fed, terms: forged(fed, terms, share={"weight": -1.0}),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_cannot_be_believed_is_left_out_and_said(name: str) -> None:
    """R-147 says what an envelope is, R-148 what in it counts."""
    fed = federation()
    for client in (VICTIM, OTHER):
        step(fed, client, 1)
    for client in (VICTIM, OTHER):
        step(fed, client, 2)
    twin, terms = fed.twin(), terms_of(fed.reader(), VICTIM, 1)
    fed.store.put_if_absent(Keys.gossip(1, 1, LIAR), FORGERIES[name](fed, terms))
    step(fed, VICTIM, 3)
    step(twin, VICTIM, 3)
    stands = GossipAtDropBox(fed.session(VICTIM)).standing(now=at(fed, 3), round_id=1)
    assert stands is not None
    assert [(sender, epoch) for sender, epoch, _ in stands.dropped] == [(LIAR, 1)]
    assert stands.dropped[0][2]
    assert np.array_equal(average(fed), average(twin))
    # it stays left out, and is not read again and again
    step(fed, VICTIM, 4)
    assert GossipAtDropBox(fed.session(VICTIM)).standing(now=at(fed, 4)).dropped == stands.dropped  # type: ignore[union-attr]


def test_the_honest_share_of_the_same_form_counts() -> None:
    """The twin of all forgeries: nothing but what they changed was wrong with them."""
    fed = federation()
    step(fed, VICTIM, 1)
    terms, before = terms_of(fed.reader(), VICTIM, 1), average(fed)
    fed.store.put_if_absent(Keys.gossip(1, 1, LIAR), forged(fed, terms))
    step(fed, VICTIM, 3)
    assert not np.array_equal(average(fed), before)
    stands = GossipAtDropBox(fed.session(VICTIM)).standing(now=at(fed, 3))
    assert stands is not None
    assert (stands.dropped, stands.heard) == ((), 1)


def test_a_message_that_was_not_noised_is_no_first_epoch() -> None:
    """A peer that sends its exact edges is left out: nobody mixes them on."""
    fed = federation()
    step(fed, VICTIM, 1)
    before, terms = average(fed), terms_of(fed.reader(), VICTIM, 1)
    for sender in (LIAR, OTHER):
        body = PayloadCodec().encode(fed.update(sender))
        data = forged(fed, terms, epoch=0, body=body, keys=fed.keys[sender], sender=sender)
        fed.store.put_if_absent(Keys.gossip(1, 0, sender), data)
    step(fed, VICTIM, 2)
    assert np.array_equal(average(fed), before)
    stands = GossipAtDropBox(fed.session(VICTIM)).standing(now=at(fed, 3))
    assert stands is not None
    assert len(stands.dropped) == 2


def test_a_liar_moves_the_average_by_no_more_than_the_bounds_let_it() -> None:
    fed = federation()
    for client in (VICTIM, OTHER):
        step(fed, client, 1)
    twin, terms = fed.twin(), terms_of(fed.reader(), VICTIM, 1)
    huge = {"weight": 1e6, "values": np.full(terms.plan.length, 1e12)}
    fed.store.put_if_absent(Keys.gossip(1, 1, LIAR), forged(fed, terms, share=huge))
    for world in (fed, twin):
        for hours in (2, 3, 4):
            for client in (VICTIM, OTHER):
                step(world, client, hours)
    moved = np.linalg.norm(average(fed) - average(twin))
    assert moved > 0.1 * terms.plan.norm_bound  # it is moved: nothing finds a liar
    assert np.linalg.norm(average(fed)) <= terms.plan.norm_bound * (1 + 1e-9)
    assert moved <= 2 * terms.plan.norm_bound


def test_who_copies_a_peers_message_sends_nothing_that_opens_as_its_own() -> None:
    fed = federation()
    for client in (VICTIM, OTHER):
        step(fed, client, 1)
    copied = fed.store.read(Keys.gossip(1, 0, OTHER), max_bytes=1 << 20)
    fed.store.put_if_absent(Keys.gossip(1, 0, LIAR), copied)
    fed.store.put_if_absent(Keys.gossip(1, 3, OTHER), copied)
    step(fed, VICTIM, 2)
    stands = GossipAtDropBox(fed.session(VICTIM)).standing(now=at(fed, 2))
    assert stands is not None
    assert {(s, e) for s, e, _ in stands.dropped} == {(LIAR, 0), (OTHER, 3)}
    assert stands.heard == 1


def test_a_revoked_peer_is_not_heard() -> None:
    fed = federation()
    for client in (VICTIM, LIAR):
        step(fed, client, 1)
    fed.revoke(LIAR, from_round=1)
    before = average(fed)
    step(fed, VICTIM, 2)
    assert np.array_equal(average(fed), before)


def test_a_coordinator_cannot_make_clients_spend_more_than_the_roots_granted() -> None:
    """Its policy says how much noise a message has. The guard holds to the roots' share."""
    fed = federation()
    fed.policy = replace(fed.policy, privacy_epsilon=Decimal(500))
    fed.open(2)
    around = GossipAtDropBox(fed.session(VICTIM))
    with pytest.raises(PrivacyBudgetExhausted):
        around.exchange(
            lambda plan: fed.update(VICTIM), now=fed.opens(2) + timedelta(hours=1), round_id=2
        )
    assert not fed.objects(Keys.gossip(2))
    assert around.guard().spent_epsilon == 0
    step(fed, VICTIM, 1)  # the twin: what the roots granted can be spent
    assert 0 < around.guard().spent_epsilon <= 4
