"""The attacker signs with a key of its own and passes it off as the victim's: by key id, by header,
by a second signature.
"""

from collections.abc import Callable

import pytest

from hyperfed.crypto.envelope import (
    PacketType,
    assemble,
    open_envelope,
    pre_authentication_encoding,
)
from hyperfed.errors import RegistryError, SignatureError
from hyperfed.protocol.object_keys import Keys
from hyperfed.testing.federation import SmallFederation, key_of
from tests.attack.conftest import VICTIM

MALLORY = key_of("mallory")


def test_the_victims_key_id_on_anothers_signature(
    fed: SmallFederation, refuse: Callable[..., object]
) -> None:
    envelope = open_envelope(fed.envelope(VICTIM))
    header = bytes(envelope.header_bytes)
    forged = [
        (
            fed.keys[VICTIM].key_id,
            MALLORY.sign(pre_authentication_encoding(PacketType.UPDATE, header)),
        )
    ]
    refuse(fed, fed.put(assemble(PacketType.UPDATE, header, forged, envelope.body), VICTIM), "R-31")


def test_an_unregistered_key_under_its_own_name(
    fed: SmallFederation, refuse: Callable[..., object]
) -> None:
    refuse(fed, fed.put(fed.envelope(VICTIM, key_pair=MALLORY), VICTIM), "R-81")


def test_the_victims_key_id_in_the_header_and_ones_own_signature(
    fed: SmallFederation, refuse: Callable[..., object]
) -> None:
    refuse(
        fed,
        fed.put(fed.envelope(VICTIM, key_pair=MALLORY, key_id=fed.keys[VICTIM].key_id), VICTIM),
        "R-81",
    )


@pytest.mark.parametrize("key_id", ["own", "victim", "none"])
def test_another_registered_clients_key(
    fed: SmallFederation, refuse: Callable[..., object], key_id: str
) -> None:
    """site-01 is registered, so its signature verifies: but it is not site-03's, whatever the
    header says.
    """
    insider = fed.keys["site-01"]
    named = {"own": insider.key_id, "victim": fed.keys[VICTIM].key_id, "none": ""}[key_id]
    refuse(
        fed,
        fed.put(fed.envelope(VICTIM, key_pair=insider, key_id=named), VICTIM),
        "R-32" if key_id == "victim" else "R-82",
    )


def test_the_coordinators_own_key_is_no_clients(
    fed: SmallFederation, refuse: Callable[..., object]
) -> None:
    refuse(fed, fed.put(fed.envelope(VICTIM, key_pair=fed.coordinator), VICTIM), "R-81")


def test_a_clients_key_is_no_coordinators(fed: SmallFederation) -> None:
    """A client that can write where plans lie opens no round: nobody believes it."""
    plan = fed.store.read(Keys.plan(1), max_bytes=1 << 20)
    envelope = open_envelope(plan)
    header = bytes(envelope.header_bytes)
    signature = fed.keys[VICTIM].sign(pre_authentication_encoding(PacketType.PLAN, header))
    fed.store.put_if_absent(
        Keys.plan(2),
        assemble(PacketType.PLAN, header, [(fed.keys[VICTIM].key_id, signature)], envelope.body),
    )
    before = fed.objects()
    with pytest.raises(SignatureError) as caught:
        fed.submit("site-01", round_id=2)
    assert caught.value.rule == "R-32"
    assert fed.objects() == before


def test_a_replaced_registry_is_noticed_by_its_fingerprint(fed: SmallFederation) -> None:
    """Whoever owns the bucket makes a registry of its own, with every key replaced: well formed and
    well signed, by other roots.
    """
    other = SmallFederation(name="evil-fed")
    other.fingerprint = fed.fingerprint
    with pytest.raises(RegistryError) as caught:
        other.session("site-01").plan_at(other.opens(1))
    assert caught.value.rule == "R-24"


def test_the_honest_twin(fed: SmallFederation, commit: Callable[..., None]) -> None:
    fed.put(fed.envelope(VICTIM), VICTIM)
    commit(fed)
