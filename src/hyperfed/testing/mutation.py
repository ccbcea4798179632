"""Mutate packets as a fuzzer does, but with the same mutants in every run.

1. Seeds are good documents and envelopes. A mutant is one of them with one, two or four changes. A
   change flips a bit, sets a byte, a type byte of msgpack or a number at the edge of its type, cuts
   out or doubles a slice, takes a slice from another seed, or moves the end.
2. The same seeds and the same number give the same mutant, so that a failure can be repeated
   (`mutant`).
3. A mutated envelope can be signed again, so that tests reach what lies behind the signature
   (`resign`).

What it does not do: learn from coverage. `fuzz/decode.py` does, with atheris.
"""

import random
from collections.abc import Callable, Sequence

from hyperfed.codec import is_array, unpack
from hyperfed.crypto.envelope import assemble, pre_authentication_encoding
from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import SchemaError

__all__ = ["mutant", "resign"]

_TYPE_BYTES = bytes(
    [0x80, 0x81, 0x8F, 0x90, 0x91, 0x9F, 0xA0, 0xBF, *range(0xC0, 0xE0), 0xE0, 0xFF, 0x00, 0x7F]
)
_NUMBERS = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0xFFFFFFFF,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
]
_FLOATS = bytes.fromhex(
    "7ff8000000000000 7ff0000000000000 fff0000000000000 8000000000000000 0000000000000001 "
    "7fefffffffffffff 3ff0000000000001"
)


def _flip_bit(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set_byte(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    data[rng.randrange(len(data))] = rng.randrange(256)


def _set_type(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    data[rng.randrange(len(data))] = rng.choice(_TYPE_BYTES)


def _set_number(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    width, at = rng.choice((1, 2, 4, 8)), rng.randrange(len(data))
    data[at : at + width] = (rng.choice(_NUMBERS) & ((1 << 8 * width) - 1)).to_bytes(
        width, rng.choice(("big", "little"))
    )


def _set_float(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at, which = rng.randrange(len(data)), 8 * rng.randrange(len(_FLOATS) // 8)
    number = _FLOATS[which : which + 8]
    data[at : at + 8] = number if rng.random() < 0.5 else number[::-1]


def _slice(data: bytearray, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.choice((1, 2, 4, 9, 33, 300)))


def _cut_out(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    start, end = _slice(data, rng)
    del data[start:end]


def _double(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    start, end = _slice(data, rng)
    data[end:end] = data[start:end]


def _splice(data: bytearray, rng: random.Random, seeds: Sequence[bytes]) -> None:
    other = rng.choice(seeds)
    start = rng.randrange(len(other))
    at, end = _slice(data, rng)
    data[at:end] = other[start : start + end - at]


def _truncate(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    del data[rng.randrange(len(data)) :]


def _extend(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    data += rng.randbytes(rng.choice((1, 2, 8, 100)))


_CHANGES: tuple[Callable[[bytearray, random.Random, Sequence[bytes]], None], ...] = (
    _flip_bit,
    _flip_bit,
    _set_byte,
    _set_type,
    _set_type,
    _set_number,
    _set_float,
    _cut_out,
    _double,
    _splice,
    _truncate,
    _extend,
)


def mutant(seeds: Sequence[bytes], number: int) -> bytes:
    """Return the mutant with this number, which follows from `seeds` and `number` alone."""
    rng = random.Random(number)  # noqa: S311 - a fuzzer's choices need to be repeatable, not secret
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        if not data:
            break
        rng.choice(_CHANGES)(data, rng, seeds)
    return bytes(data)


def resign(data: bytes, key_pair: KeyPair) -> bytes:
    """Return the envelope with its header signed by `key_pair`.

    The data are returned as they are where they hold no header to sign.
    """
    try:
        parts = unpack(data, max_values=1000)
    except SchemaError:
        return data
    if (
        not isinstance(parts, list)
        or len(parts) != 5
        or not is_array([*parts[1:3], parts[4]], str, bytes, bytes)
    ):
        return data
    header = bytes(parts[2])
    return assemble(
        parts[1],
        header,
        [(key_pair.key_id, key_pair.sign(pre_authentication_encoding(parts[1], header)))],
        bytes(parts[4]),
    )
