"""Envelopes: DSSE's encoding, verification before parsing, and what one bit of difference does
(R-30 to R-34; the digest: R-34).
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hyperfed.codec import pack, to_record, unpack
from hyperfed.crypto.envelope import (
    MAX_SIGNATURES,
    Header,
    PacketType,
    Signed,
    assemble,
    digest_of,
    open_envelope,
    pre_authentication_encoding,
    sign_envelope,
    verify_envelope,
)
from hyperfed.crypto.sealing import bind_body
from hyperfed.errors import PacketError, SchemaError, SignatureError
from hyperfed.testing.federation import key_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ALICE, BOB = key_of("alice"), key_of("bob")
BODY = b"the body" * 100


def header(**changes: Any) -> Header:
    fields: dict[str, Any] = {
        "federation": "fed",
        "round": 1,
        "sender": "alice",
        "key_id": ALICE.key_id,
        "audience": "coordinator",
        "sequence": 1,
        "nonce": b"n" * 16,
        "created": NOW,
        "expires": NOW + timedelta(days=7),
    }
    return bind_body(Header(**(fields | changes)), BODY)


ENVELOPE = sign_envelope(PacketType.UPDATE, header(), BODY, [ALICE])


def known(*pairs: Any) -> Any:
    return {p.key_id: p.public.signing for p in pairs}.get


def verify(data: bytes, *pairs: Any, **options: Any) -> Signed:
    return verify_envelope(
        open_envelope(data),
        expect=options.pop("expect", PacketType.UPDATE),
        key_of=known(*(pairs or (ALICE,))),
        **options,
    )


def test_the_encoding_of_dsse_itself() -> None:
    """The vector of DSSE's own specification."""
    assert (
        pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_the_length_counts_bytes_of_utf8() -> None:
    assert pre_authentication_encoding("é", "é".encode()) == b"DSSEv1 2 \xc3\xa9 2 \xc3\xa9"


def test_type_and_payload_cannot_borrow_from_each_other() -> None:
    """Where one ends and the other begins is signed, so that no two pairs encode alike."""
    assert pre_authentication_encoding("a", b"b 1 c") != pre_authentication_encoding("a 5 b", b"c")


def test_a_verified_envelope_says_who_signed_what() -> None:
    signed = verify(ENVELOPE)
    assert signed.header == header()
    assert bytes(signed.body) == BODY
    assert signed.signers == (ALICE.key_id,)
    assert signed.digest == digest_of(PacketType.UPDATE, header().to_bytes())
    assert signed.body.obj is ENVELOPE, "the body is hashed where it lies, not copied"


def test_one_type_is_not_read_as_another() -> None:
    with pytest.raises(SignatureError, match="where a hyperfed/ledger or hyperfed/plan") as caught:
        verify(ENVELOPE, expect=[PacketType.LEDGER, PacketType.PLAN])
    assert caught.value.rule == "R-30"
    assert verify(ENVELOPE, expect=[PacketType.LEDGER, PacketType.UPDATE]).type == "hyperfed/update"


def test_signing_is_deterministic() -> None:
    assert sign_envelope(PacketType.UPDATE, header(), BODY, [ALICE]) == ENVELOPE


def test_every_flipped_bit_is_noticed() -> None:
    for at in range(len(ENVELOPE)):
        broken = bytearray(ENVELOPE)
        broken[at] ^= 1 << (at % 8)
        with pytest.raises(PacketError):
            verify(bytes(broken))


def test_nothing_is_parsed_before_it_is_verified() -> None:
    """A header that is no header, signed by nobody, is refused for its signature; signed, for its
    form.
    """
    garbage = b"\xc1 not a header"
    unsigned = assemble(PacketType.UPDATE, garbage, [(ALICE.key_id, b"\0" * 64)], BODY)
    with pytest.raises(SignatureError, match="does not verify"):
        verify(unsigned)
    signature = ALICE.sign(pre_authentication_encoding(PacketType.UPDATE, garbage))
    with pytest.raises(SchemaError) as caught:
        verify(assemble(PacketType.UPDATE, garbage, [(ALICE.key_id, signature)], BODY))
    assert caught.value.rule == "R-10"


@pytest.mark.parametrize("body", [b"", BODY[:-1], BODY + b"\0", b"X" + BODY[1:]])
def test_another_body_is_refused(body: bytes) -> None:
    envelope = open_envelope(ENVELOPE)
    with pytest.raises(SignatureError) as caught:
        verify(assemble(envelope.type, bytes(envelope.header_bytes), envelope.signatures, body))
    assert caught.value.rule == "R-33"


def test_a_header_that_names_another_key_than_signed_is_refused() -> None:
    data = sign_envelope(PacketType.UPDATE, header(), BODY, [BOB])
    with pytest.raises(SignatureError, match="did not sign") as caught:
        verify(data, ALICE, BOB)
    assert caught.value.rule == "R-32"


def test_unknown_keys_do_not_count_and_known_ones_must_hold() -> None:
    both = sign_envelope(PacketType.UPDATE, header(), BODY, [ALICE, BOB])
    assert verify(both, ALICE).signers == (ALICE.key_id,)
    assert verify(both, ALICE, BOB, threshold=2).signers == tuple(
        sorted([ALICE.key_id, BOB.key_id])
    )
    with pytest.raises(SignatureError) as caught:
        verify(both, ALICE, threshold=2)
    assert caught.value.rule == "R-32"
    envelope = open_envelope(both)
    forged = assemble(
        envelope.type,
        bytes(envelope.header_bytes),
        [(k, s if k == ALICE.key_id else b"\1" * 64) for k, s in envelope.signatures],
        BODY,
    )
    with pytest.raises(SignatureError, match="does not verify"):
        verify(forged, ALICE, BOB)


def test_one_key_signs_once() -> None:
    """A threshold of two is not met by one key twice."""
    signature = open_envelope(ENVELOPE).signatures[0]
    with pytest.raises(SchemaError, match="one for each key"):
        open_envelope(
            assemble(PacketType.UPDATE, header().to_bytes(), [signature, signature], BODY)
        )


def test_signatures_stand_in_one_order() -> None:
    envelope = open_envelope(sign_envelope(PacketType.UPDATE, header(), BODY, [ALICE, BOB]))
    with pytest.raises(SchemaError, match="ascend"):
        open_envelope(
            assemble(envelope.type, bytes(envelope.header_bytes), envelope.signatures[::-1], BODY)
        )


PARTS = unpack(ENVELOPE)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [1],
        PARTS[:4],
        [*PARTS, 0],
        [1, b"x", *PARTS[2:]],
        [*PARTS[:2], "x", *PARTS[3:]],
        [*PARTS[:3], {}, PARTS[4]],
        [*PARTS[:4], None],
        [*PARTS[:3], [], PARTS[4]],
        [*PARTS[:3], [["k"]], PARTS[4]],
        [*PARTS[:3], [["k", "s"]], PARTS[4]],
        [*PARTS[:3], [[b"k", b"s" * 64]], PARTS[4]],
        [*PARTS[:3], ["k"], PARTS[4]],
        [*PARTS[:3], [[f"{i:03d}", b"s" * 64] for i in range(MAX_SIGNATURES + 1)], PARTS[4]],
        [*PARTS[:2], b"x" * 4097, *PARTS[3:]],
        [True, *PARTS[1:]],
    ],
)
def test_another_shape_is_no_envelope(parts: list[Any]) -> None:
    with pytest.raises(SchemaError) as caught:
        open_envelope(pack(parts), subject="inbox/x")
    assert caught.value.subject == "inbox/x"


def test_as_many_signatures_as_allowed_are_read() -> None:
    parts = [*PARTS[:3], [[f"{i:03d}", b"s" * 64] for i in range(MAX_SIGNATURES)], PARTS[4]]
    assert len(open_envelope(pack(parts)).signatures) == MAX_SIGNATURES


def test_a_newer_version_names_both() -> None:
    with pytest.raises(SchemaError, match="version 2; this library reads version 1") as caught:
        open_envelope(pack([2, {"new": "form"}]))
    assert "Update" in caught.value.remedy


@pytest.mark.parametrize("length", [0, 31, 33])
def test_digests_have_32_bytes_or_none(length: int) -> None:
    for name in (
        "policy",
        "vocabulary",
        "previous",
        "seen_broadcast",
        "ledger_digest",
        "body_digest",
        "registry_digest",
    ):
        if length:
            with pytest.raises(SchemaError, match=name):
                replace(header(), **{name: b"x" * length})
        else:
            assert getattr(replace(header(), **{name: b""}), name) == b""


AT_BOUNDS = header(
    federation="f" * 128,
    sender="",
    audience="a" * 128,
    round=0,
    sequence=(1 << 53) - 1,
    registry_version=(1 << 53) - 1,
    nonce=b"n" * 32,
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("round", -1),
        ("sequence", 1 << 53),
        ("ledger_sequence", -1),
        ("body_length", -1),
        ("registry_version", 1 << 53),
        ("sender", "x" * 129),
        ("audience", "a\nb"),
        ("key_id", "\x1b[1m"),
        ("encryption", "x" * 129),
        ("nonce", b"x" * 33),
    ],
)
def test_a_header_has_bounds_and_says_which_field_is_outside(name: str, value: Any) -> None:
    """A header whose other fields stand at their bounds is refused for the one that does not."""
    assert Header.from_bytes(AT_BOUNDS.to_bytes()) == AT_BOUNDS
    with pytest.raises(SchemaError, match=name):
        replace(AT_BOUNDS, **{name: value})


def test_the_longest_header_is_read() -> None:
    assert open_envelope(pack([*PARTS[:2], b"x" * 4096, *PARTS[3:]])).header_bytes == b"x" * 4096


@pytest.mark.parametrize(
    ("record", "problem", "rule"),
    [
        (to_record(AT_BOUNDS) | {"nonce": b"n" * 33}, "nonce", "R-11"),
        (to_record(header()), "left out where all are empty", "R-10"),
        ([to_record(AT_BOUNDS)], "header", "R-11"),
    ],
    ids=["out of bounds", "a second spelling", "in a list"],
)
def test_a_header_that_does_not_fit_is_refused_where_it_is_received(
    record: Any, problem: str, rule: str
) -> None:
    raw = pack(record)
    signature = ALICE.sign(pre_authentication_encoding(PacketType.UPDATE, raw))
    with pytest.raises(SchemaError, match=problem) as caught:
        verify(assemble(PacketType.UPDATE, raw, [(ALICE.key_id, signature)], BODY))
    assert caught.value.rule == rule


@pytest.mark.parametrize("name", list(to_record(header())))
def test_a_header_lacks_no_field_and_has_no_other_type(name: str) -> None:
    record = to_record(header())
    for changed in (
        {k: v for k, v in record.items() if k != name},
        record | {name: None},
        record | {name: [1]},
        record | {"zzz": 1},
    ):
        raw = pack(changed)
        data = assemble(
            PacketType.UPDATE,
            raw,
            [(ALICE.key_id, ALICE.sign(pre_authentication_encoding(PacketType.UPDATE, raw)))],
            BODY,
        )
        with pytest.raises(PacketError):
            verify(data)
