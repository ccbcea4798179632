"""Sealed bodies: who can open them, and that they open under their own header only."""

from dataclasses import replace
from typing import Any

import nacl.bindings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfed.codec import pack, unpack
from hyperfed.crypto import sealing as encryption
from hyperfed.crypto.envelope import (
    Header,
    PacketType,
    Signed,
    open_envelope,
    sign_envelope,
    verify_envelope,
)
from hyperfed.crypto.keys import KeyPair
from hyperfed.crypto.sealing import (
    SEALED,
    bind_body,
    box_key,
    open_body,
    open_committed,
    seal_body,
    seal_committed,
    unbox_key,
)
from hyperfed.errors import ConfigError, PacketError, SchemaError, SignatureError
from hyperfed.testing.federation import key_of
from tests.unit.crypto.test_signing import ALICE, header

COORDINATOR, AUDITOR, STRANGER = key_of("coordinator"), key_of("auditor"), key_of("stranger")
TEXT = b"what a hospital found" * 50
SENT, SEALED_BODY = seal_body(header(), TEXT, [COORDINATOR.public, AUDITOR.public])


def signed(head: Header, body: bytes) -> Signed:
    """`body` under `head`, signed by Alice and verified: what the coordinator holds when it opens a
    body.
    """
    data = sign_envelope(PacketType.UPDATE, bind_body(head, body), body, [ALICE])
    return verify_envelope(
        open_envelope(data),
        expect=PacketType.UPDATE,
        key_of={ALICE.key_id: ALICE.public.signing}.get,
    )


def refused(head: Header, body: bytes, key_pair: KeyPair | None = COORDINATOR) -> PacketError:
    with pytest.raises(PacketError) as caught:
        open_body(signed(head, body), key_pair)
    return caught.value


@pytest.mark.parametrize("key_pair", [COORDINATOR, AUDITOR])
def test_each_recipient_reads_it(key_pair: KeyPair) -> None:
    assert open_body(signed(SENT, SEALED_BODY), key_pair) == TEXT


def test_nobody_else_reads_it() -> None:
    assert refused(SENT, SEALED_BODY, STRANGER).rule == "R-40"
    assert refused(SENT, SEALED_BODY, None).rule == "R-40"
    assert TEXT[:20] not in SEALED_BODY


def test_what_is_not_sealed_is_read_as_it_is() -> None:
    assert bytes(open_body(signed(header(), TEXT), None)) == TEXT


def test_an_unknown_scheme_is_refused() -> None:
    assert refused(replace(SENT, encryption="rot13"), SEALED_BODY).rule == "R-40"


def test_two_seals_of_one_body_have_nothing_in_common() -> None:
    again = seal_body(header(), TEXT, [COORDINATOR.public])[1]
    assert unpack(again)[2] != unpack(SEALED_BODY)[2]
    assert unpack(again)[4] != unpack(SEALED_BODY)[4]


@pytest.mark.parametrize(
    "change",
    [
        {"round": 2},
        {"sender": "mallory"},
        {"federation": "other"},
        {"sequence": 2},
        {"nonce": b"m" * 16},
        {"policy": b"p" * 32},
        {"vocabulary": b"v" * 32},
        {"audience": "clients"},
    ],
)
def test_it_opens_under_its_own_header_only(change: dict[str, Any]) -> None:
    assert refused(replace(SENT, **change), SEALED_BODY).rule == "R-41"


ODD_TEXTS = ["", "body_digest", "\u00abbody_digest\u0120", "\u012bbody_digest"]
TEXTS = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=40) | st.sampled_from(
    ODD_TEXTS
)
LENGTHS = st.sampled_from([0, 1, 127, 128, 255, 256, 65_536, 2**53 - 1])
DIGESTS = st.sampled_from([b"", bytes(32), (b"\xabbody_digest\xc4" * 3)[:32]])


@given(TEXTS, TEXTS, LENGTHS, LENGTHS, DIGESTS, st.sampled_from([SEALED, "none"]))
def test_what_is_bound_is_cut_from_the_signed_bytes(
    audience: str, sender: str, round_id: int, length: int, digest: bytes, scheme: str
) -> None:
    head = replace(
        header(),
        audience=audience,
        sender=sender,
        round=round_id,
        body_length=length,
        body_digest=digest,
        policy=digest,
        encryption=scheme,
    )
    assert encryption._associated_as_signed(head, head.to_bytes()) == encryption._associated(head)


PARTS = unpack(SEALED_BODY)


def with_part(at: int, value: Any) -> bytes:
    return pack([value if i == at else part for i, part in enumerate(PARTS)])


def test_another_data_key_is_noticed_before_anything_is_opened() -> None:
    """The cipher does not commit to its key: two keys can be found that both open one ciphertext.
    The commitment forbids it.
    """
    boxes = sorted(
        [k.key_id, nacl.bindings.crypto_box_seal(b"k" * 32, k.public.sealing)]
        for k in (COORDINATOR, AUDITOR)
    )
    assert refused(SENT, with_part(1, boxes)).rule == "R-42"
    assert refused(SENT, with_part(3, b"c" * 32)).rule == "R-42"


def test_coordinator_and_auditor_cannot_be_given_different_keys() -> None:
    """A sender that seals another key to the auditor fails there, not in silence."""
    other = nacl.bindings.crypto_box_seal(b"k" * 32, AUDITOR.public.sealing)
    forged = with_part(
        1, [[k, other if k == AUDITOR.key_id else bytes(box)] for k, box in PARTS[1]]
    )
    assert open_body(signed(SENT, forged), COORDINATOR) == TEXT
    assert refused(SENT, forged, AUDITOR).rule == "R-42"


@pytest.mark.parametrize(
    "broken",
    [
        with_part(4, bytes(PARTS[4])[:-1]),
        with_part(4, bytes(PARTS[4]) + b"\0"),
        with_part(4, b""),
        with_part(4, b"x" * 15),
        with_part(4, b"x" * 16),
        with_part(4, bytes([PARTS[4][0] ^ 1]) + bytes(PARTS[4])[1:]),
        with_part(2, b"n" * 24),
        with_part(2, b"n" * 23),
        with_part(3, b"c" * 31),
        with_part(1, []),
        with_part(1, [["a", b"x" * 79]]),
        with_part(1, [[b"a", b"x" * 80]]),
        with_part(1, [list(p) for p in PARTS[1][::-1]]),
        with_part(1, [PARTS[1][0], PARTS[1][0]]),
        with_part(1, [[COORDINATOR.key_id, b"x" * 80]]),
        with_part(0, True),
        pack([]),
        pack(PARTS[:4]),
        pack([*PARTS, 0]),
        pack("x"),
        b"",
        SEALED_BODY + b"\0",
        TEXT,
        with_part(1, [[f"{i:03d}", b"x" * 80] for i in range(100)]),
    ],
)
def test_what_is_broken_is_refused(broken: bytes) -> None:
    assert refused(SENT, broken).rule in ("R-10", "R-40", "R-41", "R-42")


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (with_part(0, True), "not [1, boxes"),
        (with_part(2, b"n" * 23), "a nonce has 24 bytes"),
        (with_part(3, b"c" * 31), "a commitment 32"),
        (with_part(1, [["a", b"x" * 79]]), "a box is [key id, 80 bytes]"),
        (with_part(1, [[b"a", b"x" * 80]]), "a box is [key id, 80 bytes]"),
        (with_part(1, [list(p) for p in PARTS[1][::-1]]), "ascending"),
        (with_part(1, [PARTS[1][0], PARTS[1][0]]), "one for each recipient"),
        (with_part(1, []), "sealed to nobody, not to key"),
    ],
)
def test_what_has_another_form_is_refused_for_it(broken: bytes, problem: str) -> None:
    assert problem in refused(SENT, broken).problem


def test_a_newer_version_names_both() -> None:
    error = refused(SENT, pack([2, "new"]))
    assert isinstance(error, SchemaError)
    assert "version 2; this library reads version 1" in error.problem


def test_a_body_is_sealed_to_somebody() -> None:
    with pytest.raises(ConfigError, match="recipients"):
        seal_body(header(), TEXT, [])


def test_a_body_is_sealed_to_at_most_64_recipients() -> None:
    many = [KeyPair(bytes([i]) * 32) for i in range(65)]
    head, body = seal_body(header(), TEXT, [pair.public for pair in many[:64]])
    assert open_body(signed(head, body), many[63]) == TEXT
    with pytest.raises(ConfigError, match="1 to 64 recipients, not 65"):
        seal_body(header(), TEXT, [pair.public for pair in many])


def test_the_header_says_that_it_is_sealed() -> None:
    assert SENT.encryption == SEALED
    assert (
        bytes(open_body(signed(replace(SENT, encryption="none"), SEALED_BODY), COORDINATOR))
        == SEALED_BODY
    )


# -- a key that several parties were given (R-42) --------------------------------------------------


def test_data_under_a_committed_key_opens_by_that_key_and_about_that_only() -> None:
    key, about = b"k" * 32, b"fed/1/alice"
    commitment, sealed = seal_committed(key, TEXT, about=about)
    assert open_committed(key, sealed, commitment, about=about, subject="page") == TEXT
    other_commitment, other = seal_committed(b"o" * 32, TEXT, about=about)
    for wrong_key, wrong_sealed, wrong_commitment, rule in (
        (b"o" * 32, sealed, commitment, "R-42"),
        (key, other, commitment, "R-42"),
        (key, sealed, other_commitment, "R-42"),
        (key, sealed, b"", "R-42"),
        (b"", sealed, commitment, "R-42"),
        (key + sealed[:1], sealed[1:], commitment, "R-42"),
        (key, sealed[:-1], commitment, "R-43"),
    ):
        with pytest.raises(SignatureError) as caught:
            open_committed(wrong_key, wrong_sealed, wrong_commitment, about=about, subject="page")
        assert (caught.value.rule, caught.value.subject) == (rule, "page")
    with pytest.raises(SignatureError):
        open_committed(key, sealed, commitment, about=b"fed/1/bob", subject="page")


def test_a_key_is_boxed_to_its_recipients_only() -> None:
    boxes = dict(box_key(b"k" * 32, [COORDINATOR.public, AUDITOR.public]))
    assert [*boxes] == sorted(k.key_id for k in (COORDINATOR, AUDITOR))
    assert unbox_key(boxes, AUDITOR, subject="page") == b"k" * 32
    with pytest.raises(SignatureError, match="not to key") as caught:
        unbox_key(boxes, STRANGER, subject="page")
    assert caught.value.rule == "R-40"
    with pytest.raises(SignatureError, match="does not open"):
        unbox_key({AUDITOR.key_id: boxes[COORDINATOR.key_id]}, AUDITOR, subject="page")
