"""Signatures of 63 or 65 bytes, an S that is not reduced, and none at all."""

from collections.abc import Callable

import pytest

from hyperfed.codec import pack, unpack
from hyperfed.crypto.envelope import assemble, open_envelope
from hyperfed.testing.federation import SmallFederation
from tests.attack.conftest import VICTIM

ORDER = (1 << 252) + 27742317777372353535851937790883648493


@pytest.mark.parametrize(
    "change",
    [lambda s: s[:63], lambda s: s + b"\0", lambda s: b"", lambda s: s * 2, lambda s: s[1:]],
    ids=["63", "65", "0", "128", "cut in front"],
)
def test_a_signature_has_64_bytes(
    fed: SmallFederation, refuse: Callable[..., object], change: Callable[[bytes], bytes]
) -> None:
    parts = unpack(fed.envelope(VICTIM))
    parts[3] = [[key_id, change(bytes(signature))] for key_id, signature in parts[3]]
    refuse(fed, fed.put(pack(parts), VICTIM), "R-30")


def test_a_second_spelling_of_a_signature_does_not_hold(
    fed: SmallFederation, refuse: Callable[..., object]
) -> None:
    """S + L verifies in a careless verifier: one packet would have two envelopes."""
    envelope = open_envelope(fed.envelope(VICTIM))
    ((key_id, signature),) = envelope.signatures
    twin = signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(
        32, "little"
    )
    refuse(
        fed,
        fed.put(
            assemble(envelope.type, bytes(envelope.header_bytes), [(key_id, twin)], envelope.body),
            VICTIM,
        ),
        "R-31",
    )


def test_an_unsigned_envelope(fed: SmallFederation, refuse: Callable[..., object]) -> None:
    parts = unpack(fed.envelope(VICTIM))
    parts[3] = []
    refuse(fed, fed.put(pack(parts), VICTIM), "R-30")


def test_the_honest_twin(fed: SmallFederation, commit: Callable[..., None]) -> None:
    parts = unpack(fed.envelope(VICTIM))
    assert [len(signature) for _, signature in parts[3]] == [64]
    fed.put(pack(parts), VICTIM)
    commit(fed)
