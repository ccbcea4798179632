"""A signature made for one type of object is used for another."""

from collections.abc import Callable

import pytest

from hyperfed.crypto.envelope import PacketType, assemble, open_envelope
from hyperfed.errors import SignatureError
from hyperfed.protocol.object_keys import Keys
from hyperfed.testing.federation import SmallFederation
from tests.attack.conftest import VICTIM

OTHERS = [t for t in PacketType if t is not PacketType.UPDATE]


@pytest.mark.parametrize("type_", OTHERS)
def test_what_a_client_signed_as_something_else_is_no_update(
    fed: SmallFederation, refuse: Callable[..., object], type_: PacketType
) -> None:
    refuse(fed, fed.put(fed.envelope(VICTIM, type_=type_), VICTIM), "R-30")


@pytest.mark.parametrize("type_", OTHERS)
def test_nor_with_the_type_rewritten_afterwards(
    fed: SmallFederation, refuse: Callable[..., object], type_: PacketType
) -> None:
    """The type is signed: DSSE's encoding covers it."""
    envelope = open_envelope(fed.envelope(VICTIM, type_=type_))
    refuse(
        fed,
        fed.put(
            assemble(
                PacketType.UPDATE, bytes(envelope.header_bytes), envelope.signatures, envelope.body
            ),
            VICTIM,
        ),
        "R-31",
    )


@pytest.mark.parametrize(
    ("source", "target"),
    [(Keys.plan, Keys.result), (Keys.plan, Keys.freeze), (Keys.plan, Keys.state)],
)
def test_a_coordinators_object_is_nothing_else(
    fed: SmallFederation, source: Callable[[int], str], target: Callable[[int], str]
) -> None:
    """The coordinator's own signed plan, copied to where its result belongs: the round does not
    take it for an end.
    """
    fed.store.put_if_absent(target(1), fed.store.read(source(1), max_bytes=1 << 20))
    fed.submit(VICTIM)
    ledger = fed.objects("ledger/")
    with pytest.raises(SignatureError) as caught:
        {
            Keys.result: fed.reader().result,
            Keys.freeze: fed.reader().freeze,
            Keys.state: fed.reader().state,
        }[target](1)
    assert caught.value.rule == "R-30"
    assert fed.objects("ledger/") == ledger


def test_the_honest_twin(fed: SmallFederation, commit: Callable[..., None]) -> None:
    fed.put(fed.envelope(VICTIM, type_=PacketType.UPDATE), VICTIM)
    commit(fed)
