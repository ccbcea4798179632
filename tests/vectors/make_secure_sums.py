"""Make the golden night of secure sums again: `python -m tests.vectors.make_secure_sums`.

1. Two clients, for groups of 4 and 5 helpers: seeds, commitments, boxes, masked numbers, every
   helper's opening, the manifest and the sum. All bytes are hexadecimal, numbers of 64 bits are
   little-endian.
2. Seeds and keys, the boxes' ephemeral ones too, follow from their names by BLAKE2b: nothing is
   drawn, and another implementation can make every byte.
3. `bad` says what must be refused: a box or an opening, changed, with the error's name.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import nacl.bindings
import numpy as np

from hyperfed.secure_aggregation import (
    Cohort,
    HelperGroup,
    Manifest,
    MaskContext,
    add_masks,
    box_digest,
    boxes,
    open_sum,
    to_fixed_point,
)
from hyperfed.secure_aggregation.masking import masked
from hyperfed.secure_aggregation.streams import Words, mask

GOLDEN = Path(__file__).parent / "secure_sums" / "night-1.json"
GROUPS = ((4, 1), (5, 2))
VALUES = {"ward-1": [1.0, -0.5, 3.25, 0.0], "ward-2": [0.25, 2.0**-24, -7.0, 100000.0]}
FAR = 65_538
"""A mask of so many numbers has a second chunk, of two."""


def secret(*names: object) -> bytes:
    """32 bytes that follow from names."""
    return hashlib.blake2b("/".join(map(str, names)).encode(), digest_size=32).digest()


def group_of(helpers: int, colluding: int) -> HelperGroup:
    names = tuple(f"clinic-{letter}" for letter in "abcdefg"[:helpers])
    return HelperGroup(helpers=names, colluding_helpers=colluding)


def context_of(client: str) -> MaskContext:
    return MaskContext(
        federation="trial",
        registry_version=3,
        round=12,
        plan_digest=secret("plan"),
        client=client,
        payload="statistics",
    )


def hexed(words: Words) -> str:
    return words.astype("<u8").tobytes().hex()


@contextmanager
def ephemeral_keys(client: str) -> Iterator[None]:
    """The boxes' keys of one client, in the order in which they are sealed."""
    seeds = (secret("ephemeral", client, number) for number in range(7))
    pairs = (nacl.bindings.crypto_box_seed_keypair(seed) for seed in seeds)
    with mock.patch.object(nacl.bindings, "crypto_box_keypair", side_effect=pairs):
        yield


def night(helpers: int, colluding: int) -> dict[str, Any]:
    """Everything that is sent in one night."""
    group = group_of(helpers, colluding)
    keys = {
        name: nacl.bindings.crypto_box_seed_keypair(secret("helper", name))
        for name in group.helpers
    }
    messages: dict[str, Any] = {}
    seeds = {
        client: {names: secret("seed", client, *names) for names in group.sets()}
        for client in VALUES
    }
    sums = {}
    for client, values in VALUES.items():
        words = to_fixed_point(np.array(values), cohort=100)
        public = {name: key[0] for name, key in keys.items()}
        with ephemeral_keys(client):
            sealed = boxes.seal_seeds(seeds[client], group, public, context_of(client))
        sums[client] = masked(words, seeds[client], context_of(client))
        messages[client] = {
            "values": values,
            "fixed_point": hexed(words),
            "masked": hexed(sums[client]),
            "seeds": {" ".join(names): seed.hex() for names, seed in seeds[client].items()},
            "commitments": {" ".join(n): c.hex() for n, c in sealed.commitments.items()},
            "boxes": {name: box.hex() for name, box in sealed.boxes.items()},
            "box_digests": {name: box_digest(box).hex() for name, box in sealed.boxes.items()},
            "ephemeral_keys": {name: key.hex() for name, key in sealed.ephemeral_keys.items()},
        }
    cohort = Cohort(
        payload="statistics",
        length=4,
        messages={client: secret("header", client) for client in VALUES},
    )
    manifest = Manifest(round=12, freeze_digest=secret("freeze"), cohorts=(cohort,))
    contexts = {client: context_of(client) for client in VALUES}
    openings = [
        add_masks(manifest, "statistics", name, group, seeds, contexts) for name in group.helpers
    ]
    opened = open_sum(manifest, "statistics", group, sums, openings, deadline_past=False)
    return {
        "helpers": list(group.helpers),
        "colluding_helpers": colluding,
        "helper_keys": {
            name: {"public": public.hex(), "secret": private.hex()}
            for name, (public, private) in keys.items()
        },
        "messages": messages,
        "manifest": {
            "round": 12,
            "freeze_digest": manifest.freeze_digest.hex(),
            "headers": {name: digest.hex() for name, digest in cohort.messages.items()},
            "digest": manifest.digest.hex(),
        },
        "openings": {
            opening.helper: {" ".join(names): hexed(sums) for names, sums in opening.sums.items()}
            for opening in openings
        },
        "total": hexed(opened.total),
    }


def golden() -> dict[str, Any]:
    """The file's content."""
    context = context_of("ward-1")
    names = group_of(4, 1).sets()[0]
    far = mask(secret("seed", "ward-1", *names), context, names, FAR)
    return {
        "context": {
            "federation": context.federation,
            "registry_version": context.registry_version,
            "round": context.round,
            "plan_digest": context.plan_digest.hex(),
            "payload": context.payload,
        },
        "second_chunk": {
            "client": "ward-1",
            "set": list(names),
            "seed": secret("seed", "ward-1", *names).hex(),
            "words_65536_and_65537": hexed(far[-2:]),
        },
        "nights": [night(*group) for group in GROUPS],
        "bad": bad(night(*GROUPS[0])),
    }


def bad(good: dict[str, Any]) -> list[dict[str, str]]:
    """Boxes and openings of the first night that must be refused."""
    box = bytes.fromhex(good["messages"]["ward-1"]["boxes"]["clinic-a"])
    foreign = good["messages"]["ward-1"]["boxes"]["clinic-b"]
    flipped = box[:40] + bytes([box[40] ^ 1]) + box[41:]
    vector = good["openings"]["clinic-a"]["clinic-b clinic-c"]
    changed = f"{int(vector[:2], 16) ^ 1:02x}{vector[2:]}"
    return [
        {"what": "box", "name": "cut", "bytes": box[:-1].hex(), "error": "SignatureError"},
        {"what": "box", "name": "longer", "bytes": f"{box.hex()}00", "error": "SignatureError"},
        {"what": "box", "name": "flipped", "bytes": flipped.hex(), "error": "SignatureError"},
        {"what": "box", "name": "of clinic-b", "bytes": foreign, "error": "SignatureError"},
        {"what": "opening", "name": "changed", "bytes": changed, "error": "AggregationError"},
        {"what": "opening", "name": "short", "bytes": vector[:-16], "error": "AggregationError"},
    ]


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(golden(), indent=1) + "\n")
