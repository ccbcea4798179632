"""Proofs show what an envelope's signatures show, without its body, and nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from hyperfed.codec import pack, to_record
from hyperfed.crypto.envelope import (
    Header,
    PacketType,
    assemble,
    digest_of,
    open_envelope,
    pre_authentication_encoding,
    sign_envelope,
)
from hyperfed.crypto.proofs import MAX_PROOF_BYTES, proof_of, proven
from hyperfed.testing.federation import key_of
from tests.unit.crypto.test_signing import ALICE, BOB, BODY, ENVELOPE, header, known

PROOF = proof_of(ENVELOPE)


def shown(proof: bytes, *pairs: Any, **options: Any) -> tuple[bytes, Header] | None:
    expect = options.pop("expect", PacketType.UPDATE)
    return proven(proof, expect=expect, key_of=known(*(pairs or (ALICE,))), **options)


def test_a_proof_shows_digest_and_header() -> None:
    assert shown(PROOF) == (digest_of(PacketType.UPDATE, header().to_bytes()), header())
    assert len(PROOF) == len(ENVELOPE) - len(BODY) - 1, "the body is empty, and its length one byte"


def test_another_type_proves_nothing() -> None:
    assert shown(PROOF, expect=PacketType.LEDGER) is None


def test_unknown_keys_do_not_count_and_known_ones_must_hold() -> None:
    both = proof_of(sign_envelope(PacketType.UPDATE, header(), BODY, [ALICE, BOB]))
    assert shown(PROOF, BOB) is None
    assert shown(both, BOB) is not None
    assert shown(both, ALICE, threshold=2) is None
    assert shown(both, ALICE, BOB, threshold=2) is not None
    assert shown(both, ALICE, BOB, key_of("carol"), threshold=3) is None
    parts = open_envelope(both)
    for forged in (ALICE, BOB):
        signatures = [(k, bytes(64) if k == forged.key_id else s) for k, s in parts.signatures]
        proof = assemble(parts.type, parts.header_bytes, signatures, b"")
        assert shown(proof, ALICE, BOB) is None


def test_what_is_signed_and_no_header_proves_nothing() -> None:
    raw = pack(to_record(replace(header(), registry_version=1)) | {"round": -1})
    signature = ALICE.sign(pre_authentication_encoding(PacketType.UPDATE, raw))
    assert shown(assemble(PacketType.UPDATE, raw, [(ALICE.key_id, signature)], b"")) is None
    assert shown(b"") is None
    assert shown(PROOF[:-1]) is None


@pytest.mark.parametrize("more", [0, 1])
def test_a_proof_fits_into_a_header_or_is_empty(more: int) -> None:
    claim = replace(header(), ledger_proof=b"p" * 900)
    room = MAX_PROOF_BYTES - len(proof_of(sign_envelope(PacketType.LEDGER, claim, b"", [ALICE])))
    claim = replace(claim, ledger_proof=b"p" * (900 + room + more))
    proof = proof_of(sign_envelope(PacketType.LEDGER, claim, b"", [ALICE]))
    assert len(proof) == (0 if more else MAX_PROOF_BYTES)
