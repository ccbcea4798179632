"""How high each key was counted: by a state, by an abandoned branch, and who signed."""

from dataclasses import replace

import pytest

from hyperfed.protocol.objects import Freeze, RoundState
from hyperfed.protocol.sequences import abandoned_sequence, highest_by_key, signers_of
from hyperfed.testing.federation import SmallFederation


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
