"""How high each key was counted: by a state, by an abandoned branch, and who signed."""

from dataclasses import replace

import pytest

from hyperfed.protocol.objects import Freeze, RoundState
from hyperfed.protocol.sequences import (
    abandoned_sequence,
    highest_by_key,
    next_sequences,
    signers_of,
)
from hyperfed.testing.federation import SmallFederation, key_of


@pytest.fixture(scope="module")
def fed() -> SmallFederation:
    fed = SmallFederation()
    fed.play(1)
    return fed


@pytest.fixture
def state(fed: SmallFederation) -> RoundState:
    stored = fed.reader().state(1)
    assert stored is not None
    return stored.value


@pytest.fixture
def freeze(fed: SmallFederation) -> Freeze:
    stored = fed.reader().freeze(1)
    assert stored is not None
    return stored.value


def test_the_higher_of_both_branches_holds(fed: SmallFederation, state: RoundState) -> None:
    keys = {client: fed.keys[client].key_id for client in fed.clients}
    assert highest_by_key(state, fed.registry) == dict.fromkeys(keys.values(), 1)
    least = (("site-01", 0), ("site-02", 40), (keys["site-03"], 50))
    other = replace(fed.registry, least_sequences=tuple(sorted(least)))
    expected = {keys["site-01"]: 1, keys["site-02"]: 40, keys["site-03"]: 50}
    highest = highest_by_key(state, other)
    assert {key: highest[key] for key in expected} == expected
    assert highest_by_key(None, fed.registry) == {}
    for client, sequence in (("site-01", 0), ("site-02", 40), ("site-03", 50)):
        assert abandoned_sequence(other, client, keys[client]) == sequence


def test_a_signer_is_named_where_the_registry_has_its_key(
    fed: SmallFederation, freeze: Freeze
) -> None:
    named = {client: fed.keys[client].key_id for client in fed.clients}
    assert signers_of(freeze, fed.registry) == named
    beyond = replace(freeze, signed_by=(0, 1, 0))
    assert signers_of(beyond, fed.registry) == {c: k for c, k in named.items() if c != "site-02"}
    assert signers_of(replace(freeze, formula=2, signed_by=()), fed.registry) is None
    assert signers_of(replace(freeze, formula=3), fed.registry) == named
    bare = replace(freeze, signed_by=())
    assert signers_of(bare, fed.registry) == named, "without a place it is the first key"
    gone = replace(fed.registry, clients=fed.registry.clients[1:])
    assert "site-01" not in (signers_of(bare, gone) or {})


def test_a_state_that_names_no_keys_speaks_for_all_that_its_client_had(state: RoundState) -> None:
    """R-129: a key that began after the last counted round is free."""
    fed = SmallFederation()
    for name, from_round in (("second", 1), ("third", 2)):
        fed.rotate("site-01", key_of(name), from_round=from_round)
    earlier = replace(
        state, clients=tuple(replace(c, sequences=(), highest_sequence=7) for c in state.clients)
    )
    highest = highest_by_key(earlier, fed.registry)
    assert {key: highest.get(key_of(key).key_id) for key in ("second", "third")} == {
        "second": 7,
        "third": None,
    }
    assert highest[SmallFederation().keys["site-01"].key_id] == 7


def test_what_was_counted_under_one_key_says_nothing_of_another(state: RoundState) -> None:
    """R-129: the client's highest sequence was counted under a key that it has no more."""
    fed = SmallFederation()
    first = replace(state.clients[0], highest_sequence=9)
    named = highest_by_key(replace(state, clients=(first,)), fed.registry)
    assert named == {fed.keys["site-01"].key_id: 1}


def test_the_next_sequences_are_the_highest_of_each_key(state: RoundState, freeze: Freeze) -> None:
    before, counted = state.clients[0], freeze.counted[0]
    ((key_id, sequence),) = before.sequences
    later = replace(counted, sequence=sequence + 4)
    signers = {counted.client: key_id}
    assert next_sequences(before, later, signers) == ((key_id, sequence + 4),)
    assert next_sequences(before, replace(counted, sequence=0), signers) == before.sequences
    assert next_sequences(None, later, signers) == ((key_id, sequence + 4),)
    other = "0" * 16
    assert next_sequences(before, later, {counted.client: other}) == (
        (other, sequence + 4),
        (key_id, sequence),
    )
    for unsigned in (next_sequences(before, later, {}), next_sequences(before, None, signers)):
        assert unsigned == before.sequences
    assert next_sequences(None, None, {}) == ()
