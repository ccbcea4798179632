"""A client takes another's sealed body, which it cannot read, puts its own header before it and
signs that: to be counted with what others found.
"""

from collections.abc import Callable
from dataclasses import replace

from hyperfed.crypto.envelope import Header, PacketType, open_envelope, sign_envelope
from hyperfed.crypto.sealing import bind_body
from hyperfed.testing.federation import SmallFederation
from tests.attack.conftest import VICTIM


def stolen(fed: SmallFederation, **changes: object) -> bytes:
    envelope = open_envelope(fed.store.read("inbox/00000001/site-01/0", max_bytes=1 << 20))
    header = Header.from_bytes(envelope.header_bytes)
    mine = {"sender": VICTIM, "key_id": fed.keys[VICTIM].key_id, **changes}
    return sign_envelope(
        PacketType.UPDATE,
        bind_body(replace(header, **mine), envelope.body),
        envelope.body,
        [fed.keys[VICTIM]],
    )  # type: ignore[arg-type]


def test_a_stolen_body_does_not_open_under_the_thiefs_header(
    fed: SmallFederation, refuse: Callable[..., object]
) -> None:
    refuse(fed, fed.put(stolen(fed), VICTIM), "R-41")


def test_nor_with_a_header_that_says_it_is_not_sealed(
    fed: SmallFederation, refuse: Callable[..., object]
) -> None:
    refuse(fed, fed.put(stolen(fed, encryption="none"), VICTIM), "R-88")


def test_ones_own_body_of_last_night_does_not_open_tonight(
    commit: Callable[..., None], refuse: Callable[..., object]
) -> None:
    """The bucket's owner cannot make a client say tonight what it said last night either: it lacks
    the client's key; and the seal says the same.
    """
    fed = SmallFederation()
    fed.play(1)
    fed.open(2, quorum=3)
    fed.submit_all(round_id=2, but=[VICTIM])
    envelope = open_envelope(fed.store.read(f"inbox/00000001/{VICTIM}/0", max_bytes=1 << 20))
    header = Header.from_bytes(envelope.header_bytes)
    again = bind_body(replace(header, round=2, sequence=9, nonce=b"2" * 16), envelope.body)
    key = fed.put(
        sign_envelope(PacketType.UPDATE, again, envelope.body, [fed.keys[VICTIM]]),
        VICTIM,
        round_id=2,
    )
    refuse(fed, key, "R-41", round_id=2)


def test_the_honest_twin_seals_its_own(fed: SmallFederation, commit: Callable[..., None]) -> None:
    fed.put(fed.envelope(VICTIM), VICTIM)
    commit(fed)
