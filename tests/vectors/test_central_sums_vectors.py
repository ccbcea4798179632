"""The golden night of central noise on a secure sum: made again, and read by arithmetic of its own.

A failure of the first test means that grids, charges, messages or the noise of a seed changed.
"""

import hashlib
import json
import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import msgpack
import nacl.bindings
import pytest

from hyperfed.crypto.envelope import open_envelope
from tests.vectors.make_central_sums import COORDINATOR, GOLDEN, text

pytestmark = pytest.mark.vectors

FILE: dict[str, Any] = json.loads(GOLDEN.read_text())


def test_it_is_made_again() -> None:
    assert GOLDEN.read_text() == text(FILE["sealed"])


def test_messages_are_rows_and_truncated_sums_of_products_of_clipped_rows() -> None:
    norm, grid = FILE["row_norm"], FILE["grid"]
    for client, rows in FILE["rows"].items():
        clipped = []
        for row in rows:
            length = math.hypot(*row)
            clipped.append([x * min(1.0, norm / length) if length else 0.0 for x in row])
        # each variable now, and then each a step before
        lagged = [now + before for before, now in pairwise(clipped)]
        width, found = len(lagged[0]), FILE["numbers"][client]
        assert found[0] == len(lagged)
        pairs = [(a, b) for a in range(width) for b in range(a, width)]
        for number, (a, b) in zip(found[1:], pairs, strict=True):
            exact = sum(Fraction(row[a]) * Fraction(row[b]) for row in lagged)
            steps = float(exact * grid / Fraction(norm) ** 2)
            # rows are truncated to 2^14 parts of a clip before they are multiplied
            assert abs(number - steps) <= 1 + 2 * len(lagged) * grid * 2.0**-14


def test_the_sum_is_exact_and_its_noise_is_that_of_the_seed() -> None:
    total, noised = FILE["total"], FILE["noised"]
    assert total == [sum(column) for column in zip(*FILE["numbers"].values(), strict=True)]
    assert noised[0] == total[0] == FILE["released"]["rows"]
    noise = [a - b for a, b in zip(noised[1:], total[1:], strict=True)]
    spread = math.sqrt(sum(x * x for x in noise) / len(noise)) / FILE["charge"]["sigma"]
    assert 0.3 < spread < 2
    step = FILE["row_norm"] ** 2 / FILE["grid"]
    assert FILE["released"]["moments"] == [number * step for number in noised[1:]]


def test_the_sealed_answer_opens_with_the_coordinators_key_and_is_bound_to_its_header() -> None:
    envelope = open_envelope(bytes.fromhex(FILE["sealed"]), subject="sealed answer")
    version, boxes, nonce, commitment, ciphertext = msgpack.unpackb(envelope.body)
    assert version == 1
    ((name, box),) = boxes
    assert name == COORDINATOR.key_id
    key = COORDINATOR.open_sealed(box)
    assert hashlib.sha256(b"hyperfed/commitment\n" + key + nonce).digest() == commitment
    header = msgpack.unpackb(envelope.header_bytes)
    blank = header | {"body_length": 0, "body_digest": b""}
    about = msgpack.packb(blank)
    opened = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, about, nonce, key)
    assert b"help-1" in opened
    moved = msgpack.packb(blank | {"round": 13})
    with pytest.raises(nacl.exceptions.CryptoError):
        nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, moved, nonce, key)
