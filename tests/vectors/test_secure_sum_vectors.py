"""The golden night of secure sums: made again byte for byte, and read by an implementation of its
own, which uses nothing of `hyperfed.secure_aggregation`.

A failure of the first test means that masks, boxes or openings changed on the wire.
"""

import hashlib
import json
from itertools import combinations
from typing import Any

import msgpack
import nacl.bindings
import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from hyperfed import errors
from hyperfed.secure_aggregation import Cohort, Manifest, Opening, open_box, open_sum
from hyperfed.secure_aggregation.helpers import HelperSet
from tests.vectors.make_secure_sums import GOLDEN, golden, group_of

pytestmark = pytest.mark.vectors

FILE: dict[str, Any] = json.loads(GOLDEN.read_text())
NIGHTS = FILE["nights"]


def bound(client: str, names: list[str], chunk: int | None) -> bytes:
    """What a key or a commitment depends on, in msgpack's shortest form."""
    context = FILE["context"]
    fields = [
        context["federation"],
        context["registry_version"],
        context["round"],
        bytes.fromhex(context["plan_digest"]),
        client,
        names,
        context["payload"],
        chunk,
    ]
    return bytes(msgpack.packb(fields))


def keyed(seed: str, data: bytes, person: bytes) -> bytes:
    return hashlib.blake2b(data, key=bytes.fromhex(seed), digest_size=32, person=person).digest()


def stream(seed: str, client: str, names: list[str], chunk: int, words: int) -> np.ndarray:  # type: ignore[type-arg]
    """ChaCha20 from block 1 under a nonce of zeros."""
    key = keyed(seed, bound(client, names, chunk), b"hyperfed/stream1")
    start = (1).to_bytes(4, "little") + bytes(12)
    encryptor = Cipher(algorithms.ChaCha20(key, start), mode=None).encryptor()
    return np.frombuffer(encryptor.update(bytes(8 * words)), dtype="<u8")


def words(text: str) -> np.ndarray:  # type: ignore[type-arg]
    return np.frombuffer(bytes.fromhex(text), dtype="<u8")


def test_the_file_is_what_would_be_made_now() -> None:
    assert golden() == FILE, "python -m tests.vectors.make_secure_sums"


@pytest.mark.parametrize("night", NIGHTS, ids=lambda night: str(len(night["helpers"])))
def test_masks_commitments_and_boxes_are_found_by_other_means(night: dict[str, Any]) -> None:
    helpers, size = night["helpers"], (len(night["helpers"]) + night["colluding_helpers"]) // 2
    sets = [list(names) for names in combinations(helpers, size)]
    for client, message in night["messages"].items():
        steps = np.array(np.rint(np.array(message["values"]) * 2**24), dtype=np.int64)
        total = steps.view(np.uint64)
        assert message["fixed_point"] == total.tobytes().hex()
        assert list(message["seeds"]) == [" ".join(names) for names in sets]
        for names in sets:
            seed = message["seeds"][" ".join(names)]
            total = total + stream(seed, client, names, 0, len(total))
            committed = keyed(seed, bound(client, names, None), b"hyperfed/commit1")
            assert message["commitments"][" ".join(names)] == committed.hex()
        assert message["masked"] == total.tobytes().hex()
        for helper in helpers:
            box = bytes.fromhex(message["boxes"][helper])
            assert hashlib.sha256(box).hexdigest() == message["box_digests"][helper]
            keys = {kind: bytes.fromhex(key) for kind, key in night["helper_keys"][helper].items()}
            plain = nacl.bindings.crypto_box_seal_open(box, keys["public"], keys["secret"])
            held = [message["seeds"][" ".join(names)] for names in sets if helper not in names]
            assert plain.hex() == "".join(held)
            ephemeral = bytes.fromhex(message["ephemeral_keys"][helper])
            assert nacl.bindings.crypto_scalarmult_base(ephemeral) == box[:32]


@pytest.mark.parametrize("night", NIGHTS, ids=lambda night: str(len(night["helpers"])))
def test_openings_add_up_to_the_sum_by_other_means(night: dict[str, Any]) -> None:
    manifest, masks = night["manifest"], {}
    for helper, sums in night["openings"].items():
        for names, vector in sums.items():
            added = sum(
                stream(message["seeds"][names], client, names.split(), 0, 4)
                for client, message in night["messages"].items()
            )
            assert vector == np.asarray(added, dtype=np.uint64).tobytes().hex()
            assert helper not in names.split()
            masks[names] = words(vector)
    opened = sum(words(message["masked"]) for message in night["messages"].values())
    for vector in masks.values():
        opened = opened - vector
    assert np.asarray(opened).tobytes().hex() == night["total"]
    expected = np.sum([message["values"] for message in night["messages"].values()], axis=0)
    np.testing.assert_array_equal(np.asarray(opened).view(np.int64) / 2**24, expected)
    headers = [[name, bytes.fromhex(digest)] for name, digest in manifest["headers"].items()]
    packed = msgpack.packb(
        [
            manifest["round"],
            bytes.fromhex(manifest["freeze_digest"]),
            [["statistics", 4, sorted(headers)]],
        ]
    )
    assert hashlib.sha256(packed).hexdigest() == manifest["digest"]


def test_the_second_chunk_has_a_key_of_its_own() -> None:
    far = FILE["second_chunk"]
    found = stream(far["seed"], far["client"], far["set"], 1, 2)
    assert found.tobytes().hex() == far["words_65536_and_65537"]


@pytest.mark.parametrize("case", FILE["bad"], ids=lambda case: f"{case['what']} {case['name']}")
def test_what_is_changed_is_refused(case: dict[str, str]) -> None:
    """Unchanged, the same bytes are taken: the other tests of this file read them."""
    night, group = NIGHTS[0], group_of(4, 1)
    error = getattr(errors, case["error"])
    if case["what"] == "box":
        secret = bytes.fromhex(night["helper_keys"]["clinic-a"]["secret"])
        with pytest.raises(error):
            open_box(bytes.fromhex(case["bytes"]), "clinic-a", group, secret)
        return
    headers = {name: bytes.fromhex(d) for name, d in night["manifest"]["headers"].items()}
    cohort = Cohort(payload="statistics", length=4, messages=headers)
    freeze = bytes.fromhex(night["manifest"]["freeze_digest"])
    manifest = Manifest(round=12, freeze_digest=freeze, cohorts=(cohort,))
    vectors: dict[str, dict[HelperSet, Any]] = {
        helper: {tuple(names.split()): words(vector) for names, vector in sums.items()}
        for helper, sums in night["openings"].items()
    }
    messages = {client: words(m["masked"]) for client, m in night["messages"].items()}

    def opened() -> str:
        openings = [
            Opening(helper=helper, manifest_digest=manifest.digest, payload="statistics", sums=sums)
            for helper, sums in vectors.items()
        ]
        return (
            open_sum(manifest, "statistics", group, messages, openings, deadline_past=False)
            .total.tobytes()
            .hex()
        )

    assert opened() == night["total"]
    vectors["clinic-a"]["clinic-b", "clinic-c"] = words(case["bytes"])
    with pytest.raises(error):
        opened()
