"""Whatever a record's fields say, it is read or refused: a TypeError would be taken for a mistake
of ours, and one sender could stop a round with it.

The records are those of drop-boxes that lie in tests/vectors; each mutant changes a few of one's
fields, at any depth, for values of the same or another type.
"""

import random
import zipfile
from pathlib import Path
from typing import Any

import pytest

from hyperfed.codec import PayloadCodec, from_record, to_record
from hyperfed.crypto.envelope import open_envelope
from hyperfed.dropbox.opening_objects import (
    Confirmation,
    HelperKey,
    MaskBoxes,
    OpeningSums,
    RoundManifest,
)
from hyperfed.errors import PacketError
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.packets import Update
from hyperfed.protocol.entries import (
    LedgerEntry,
)
from hyperfed.protocol.objects import (
    Freeze,
    Plan,
    RoundState,
    Tombstone,
)
from hyperfed.protocol.receipt_objects import (
    Receipt,
    ReceiptPage,
)
from hyperfed.protocol.round_noise import RoundNoise
from hyperfed.registry.registry import Registry

VECTORS = Path(__file__).parents[1] / "vectors"
KINDS: dict[str, Any] = {
    k.__name__: k
    for k in (
        Registry,
        Plan,
        Freeze,
        GlobalModel,
        Tombstone,
        RoundState,
        LedgerEntry,
        Receipt,
        ReceiptPage,
        HelperKey,
        MaskBoxes,
        Confirmation,
        RoundManifest,
        OpeningSums,
        RoundNoise,
        Update,
    )
}
MUTANTS = 400  # of each kind
WHOLE = [0, 1, -1, 1 << 16, 1 << 24, 1 << 32, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, -(1 << 63)]
FLOATS = [0.0, 1.0, -1.0, 1.5, 1e308, -1e308, 1e-320]
TEXTS = ["", "0", "1e9", "-1", "site-01", "\0", "../x", "9" * 12, "x" * 300]
COLUMNS = [
    ["<u4", b""],
    ["<f8", bytes(8)],
    ["|b1", b"\2"],
    ["<u8", b"\xff" * 16],
    ["<i4", bytes(4)],
]
ODD: list[Any] = [
    None,
    True,
    *WHOLE,
    *FLOATS,
    *TEXTS,
    b"",
    b"x",
    bytes(32),
    [],
    [[]],
    {},
    {"a": 1},
    *COLUMNS,
]


def _records() -> dict[str, list[Any]]:
    """Plain records by their kind."""
    documents = [open_envelope(data).body for data in _envelopes()]
    documents += [
        (VECTORS / "v1" / "good" / f"update-{name}.bin").read_bytes()
        for name in ("full", "deltas", "f32", "empty")
    ]
    found: dict[str, list[Any]] = {name: [] for name in KINDS}
    for document in documents:
        kind = PayloadCodec().kind_of(document)
        found[kind].append(to_record(PayloadCodec().decode(document, KINDS[kind])))
    return found


def _envelopes() -> list[bytes]:
    """What the coordinator, the roots and helpers signed, and what clients seal for helpers."""
    data = []
    for file in sorted((VECTORS / "dropboxes").glob("*.zip")):
        with zipfile.ZipFile(file) as archive:
            data += [
                archive.read(key)
                for key in archive.namelist()
                if not key.startswith(("inbox/", "gossip/"))
                and "/accepted/" not in key
                and (file.stem != "central" or "/openings/" not in key)  # they are sealed there
            ]
    return data


RECORDS = _records()


def _mutated(plain: Any, rng: random.Random) -> Any:
    """The value with something in it changed."""
    if isinstance(plain, dict) and plain and rng.random() < 0.9:
        name = rng.choice(sorted(plain))
        return plain | {name: _mutated(plain[name], rng)}
    if isinstance(plain, list) and plain and rng.random() < 0.8:
        at = rng.randrange(len(plain))
        return [
            *plain[:at],
            _mutated(plain[at], rng),
            *plain[at + 1 :],
            *([plain[at]] if rng.random() < 0.1 else []),
        ]
    if rng.random() < 0.3:
        return rng.choice(ODD)
    if isinstance(plain, bytes | memoryview):
        flipped = bytearray(plain) or bytearray(1)
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        return rng.choice([bytes(flipped), bytes(plain)[:-1], bytes(plain) + bytes(8)])
    same = {int: [*WHOLE, plain + 1 if type(plain) is int else 0], float: FLOATS, str: TEXTS}
    return rng.choice(same.get(type(plain), ODD))


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_is_read_or_refused(kind: str) -> None:
    rng = random.Random(kind)
    assert RECORDS[kind]
    refused = 0
    for number in range(MUTANTS):
        plain = rng.choice(RECORDS[kind])
        for _ in range(rng.choice((1, 1, 2, 3))):
            plain = _mutated(plain, rng)
        try:
            from_record(KINDS[kind], plain)
        except PacketError:
            refused += 1
        except Exception as error:
            error.add_note(f"mutant {number} of {kind}: {plain!r:.2000}")
            raise
    assert refused > MUTANTS // 4
