"""One canonical form of msgpack: what it writes, what it refuses, and that it never takes more
memory than its limit says.

msgpack's own packer and reader are the independent oracle: they agree on what we accept, and take
much of what we refuse.
"""

import contextlib
import struct
import tracemalloc
from typing import Any

import msgpack
import pytest

from hyperfed.codec import leading_int, pack, unpack
from hyperfed.codec.explaining import MAX_DEPTH, MAX_VALUES
from hyperfed.errors import SchemaError


def oracle(data: bytes) -> Any:
    return msgpack.unpackb(data, strict_map_key=False, raw=False, max_ext_len=1 << 20)


def plain(value: Any) -> Any:
    """With memoryviews as bytes, as msgpack's reader gives them."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, list):
        return [plain(v) for v in value]
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value


EDGES = [
    0,
    1,
    127,
    128,
    255,
    256,
    65535,
    65536,
    2**32 - 1,
    2**32,
    2**63,
    2**64 - 1,
    -1,
    -32,
    -33,
    -128,
    -129,
    -32768,
    -32769,
    -(2**31),
    -(2**31) - 1,
    -(2**63),
]
VALUES = [
    None,
    True,
    False,
    0.0,
    1.5,
    -2.25,
    5e-324,
    1.7976931348623157e308,
    "",
    "a",
    "é",
    "x" * 31,
    "x" * 32,
    "x" * 255,
    "x" * 256,
    "x" * 65536,
    b"",
    b"\0",
    b"x" * 255,
    b"x" * 256,
    b"x" * 511,
    b"x" * 512,
    b"x" * 65535,
    b"x" * 65536,
    [],
    [1, [2, [3]]],
    list(range(15)),
    list(range(16)),
    [None] * 65535,
    [None] * 65536,
    {},
    {"a": 1, "b": [True, {"c": b"x"}]},
    {f"{i:02d}": i for i in range(15)},
    {f"{i:02d}": i for i in range(16)},
    {f"{i:05d}": i for i in range(65536)},
]


@pytest.mark.parametrize("value", EDGES + VALUES, ids=lambda v: f"{type(v).__name__}-{str(v)[:12]}")
def test_writes_what_msgpack_writes_and_reads_it_back(value: Any) -> None:
    data = pack(value)
    assert data == msgpack.packb(value, use_bin_type=True)
    assert plain(unpack(data)) == value
    assert oracle(data) == value


def test_sorts_keys_whatever_their_order() -> None:
    assert (
        pack({"b": 1, "a": 2, "é": 3})
        == pack({"é": 3, "a": 2, "b": 1})
        == b"\x83\xa1a\x02\xa1b\x01\xa2\xc3\xa9\x03"
    )


NOT_CANONICAL = {
    "uint8 for 127": b"\xcc\x7f",
    "uint16 for 255": b"\xcd\x00\xff",
    "uint32 for 65535": b"\xce\x00\x00\xff\xff",
    "uint64 for 2**32-1": b"\xcf\x00\x00\x00\x00\xff\xff\xff\xff",
    "int8 for -32": b"\xd0\xe0",
    "int8 for 5": b"\xd0\x05",
    "int16 for -128": b"\xd1\xff\x80",
    "int16 for 300": b"\xd1\x01\x2c",
    "int32 for -32768": b"\xd2\xff\xff\x80\x00",
    "int64 for -2**31": b"\xd3\xff\xff\xff\xff\x80\x00\x00\x00",
    "int64 for 1": b"\xd3\x00\x00\x00\x00\x00\x00\x00\x01",
    "float32": b"\xca\x3f\x80\x00\x00",
    "-0.0": b"\xcb" + struct.pack(">d", -0.0),
    "nan": b"\xcb" + struct.pack(">d", float("nan")),
    "inf": b"\xcb" + struct.pack(">d", float("inf")),
    "-inf": b"\xcb" + struct.pack(">d", float("-inf")),
    "str8 for 31": b"\xd9\x1f" + b"x" * 31,
    "str16 for 255": b"\xda\x00\xff" + b"x" * 255,
    "str32 for 65535": b"\xdb\x00\x00\xff\xff" + b"x" * 65535,
    "bin16 for 255": b"\xc5\x00\xff" + b"x" * 255,
    "bin32 for 65535": b"\xc6\x00\x00\xff\xff" + b"x" * 65535,
    "array16 for 15": b"\xdc\x00\x0f" + b"\x00" * 15,
    "array32 for 16": b"\xdd\x00\x00\x00\x10" + b"\x00" * 16,
    "map16 for 1": b"\xde\x00\x01\xa1a\x00",
    "map32 for 1": b"\xdf\x00\x00\x00\x01\xa1a\x00",
    "keys out of order": b"\x82\xa1b\x00\xa1a\x00",
    "key twice": b"\x82\xa1a\x00\xa1a\x01",
    "empty key twice": b"\x82\xa0\x00\xa0\x01",
    "key of another type": b"\x81\x01\x00",
    "binary key": b"\x81\xc4\x01a\x00",
    "fixext1": b"\xd4\x01\x00",
    "fixext16": b"\xd8\x01" + b"\x00" * 16,
    "timestamp": b"\xd6\xff\x00\x00\x00\x00",
    "ext8": b"\xc7\x01\x05\x00",
    "ext16": b"\xc8\x00\x01\x05\x00",
    "ext32": b"\xc9\x00\x00\x00\x01\x05\x00",
    "reserved byte": b"\xc1",
    "bad utf-8": b"\xa2\xc3\x28",
    "surrogate": b"\xa3\xed\xa0\x80",
    "overlong utf-8": b"\xa2\xc0\x80",
    "trailing": b"\x00\x00",
    "empty": b"",
}


@pytest.mark.parametrize("name", NOT_CANONICAL)
def test_refuses_every_other_form(name: str) -> None:
    with pytest.raises(SchemaError) as caught:
        unpack(NOT_CANONICAL[name])
    assert caught.value.rule == "R-10"


@pytest.mark.parametrize("name", [n for n in NOT_CANONICAL if n not in ("trailing", "empty")])
def test_refuses_every_other_form_before_a_large_field(name: str) -> None:
    """What precedes a large binary field is read by itself, and held to the same form."""
    for data in (
        b"\x92" + NOT_CANONICAL[name] + pack(b"x" * 2000),
        b"\x93\x01\x91" + NOT_CANONICAL[name] + pack(b"x" * 2000),
    ):
        with pytest.raises(SchemaError):
            unpack(data)


@pytest.mark.parametrize("length", [0, 1, 255, 256, 511, 2000, 65535, 65536])
def test_a_large_field_has_one_form_of_its_length(length: int) -> None:
    data = pack([1, "a", b"x" * length])
    assert [plain(item) for item in unpack(data)] == [1, "a", b"x" * length]
    for header in (
        b"\xc4" + length.to_bytes(1, "big") if length < 256 else b"",
        b"\xc5" + length.to_bytes(2, "big") if length < 65536 else b"",
        b"\xc6" + length.to_bytes(4, "big"),
    ):
        other = b"\x93\x01\xa1a" + header + b"x" * length
        if header and other != data:
            with pytest.raises(SchemaError, match="shortest"):
                unpack(other)
    for cut in (data[:-1], data + b"x"):
        with pytest.raises(SchemaError):
            unpack(cut)
    assert unpack(pack([[0] * 20, b"x" * length]), max_values=25)[0] == [0] * 20
    with pytest.raises(SchemaError, match="too many"):
        unpack(pack([[0] * 20, b"x" * length]), max_values=24)


def test_the_oracle_shows_that_these_are_forms_msgpack_takes() -> None:
    """Most of the list is valid msgpack: it is we who allow one form only."""
    taken = 0
    for data in NOT_CANONICAL.values():
        try:
            value = oracle(data)
        except Exception:  # noqa: S112 - what the oracle raises does not matter here
            continue
        taken += 1
        with contextlib.suppress(SchemaError):
            assert pack(value) != data, "a form that we write ourselves must not be refused"
    assert taken >= 27


@pytest.mark.parametrize(
    "value", [VALUES[i] for i in (4, 9, 13, 22, 26, 28, 31)], ids=lambda v: type(v).__name__
)
def test_every_truncation_is_refused(value: Any) -> None:
    data = pack(value)
    for cut in sorted({*range(min(len(data), 40)), len(data) - 1}):
        with pytest.raises(SchemaError):
            unpack(data[:cut])


def test_depth_ends_at_eight() -> None:
    deep: Any = []
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    assert plain(unpack(pack(deep))) == deep
    with pytest.raises(SchemaError, match="deeper"):
        pack([deep])
    with pytest.raises(SchemaError, match="deeper"):
        unpack(b"\x91" * MAX_DEPTH + b"\x90")
    with pytest.raises(SchemaError, match="deeper"):
        unpack(b"\x81\xa0" * MAX_DEPTH + b"\x80")
    with pytest.raises(SchemaError, match="deeper"):
        unpack(b"\x91" * 100_000)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -0.0,
        2**64,
        -(2**63) - 1,
        10**400,
        {1: 2},
        {1: 2, "a": 3},
        {b"a": 1},
        pytest.param(object(), id="object"),
        1j,
        {1, 2},
        "\ud800",
        {"\ud800": 1},
    ],
    ids=repr,
)
def test_refuses_to_write_what_has_no_canonical_form(value: Any) -> None:
    with pytest.raises(SchemaError):
        pack([value])


def test_a_cycle_is_too_deep_and_no_recursion_error() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(SchemaError, match="deeper"):
        pack(loop)


def test_binary_fields_are_views_of_the_input() -> None:
    data = pack([b"x" * 1000])
    view = unpack(data)[0]
    assert isinstance(view, memoryview)
    assert view.obj is data
    assert view.readonly


def test_leading_int_reads_a_version_whatever_follows() -> None:
    assert leading_int(pack([7, {"anything": [1]}])) == 7
    assert leading_int(pack([300] + [0] * 40)) == 300
    assert leading_int(b"\x92\xcf" + b"\xff" * 8 + b"\xc1garbage") == 2**64 - 1
    for other in (
        b"",
        b"\x90",
        b"\x90\xcc\xff",
        b"\x91",
        b"\x91\xcd\x01",
        b"\x91\xcc\x01",
        b"\x91\xc3",
        b"\x91\xff",
        b"\x81\xa1a\x01",
        b"\x01",
        b"\xdc\x00",
        b"\x91\xa11",
    ):
        assert leading_int(other) is None


SHARE = 16  # the tests use a sixteenth of the limit: tracing a million objects takes half a minute
MANY = MAX_VALUES // SHARE
HOSTILE = {
    "empty binary fields": b"\xdd" + MANY.to_bytes(4, "big") + b"\xc4\x00" * MANY,
    "empty lists": b"\xdd" + MANY.to_bytes(4, "big") + b"\x90" * MANY,
    "empty maps": b"\xdd" + MANY.to_bytes(4, "big") + b"\x80" * MANY,
    "maps of one": b"\xdd" + MANY.to_bytes(4, "big") + b"\x81\xa0\x00" * MANY,
    "lists in lists": b"\xdd" + (MANY // 4).to_bytes(4, "big") + b"\x91\x91\x91\x90" * (MANY // 4),
    "a list that promises 4 billion": b"\xdd\xff\xff\xff\xff" + b"\x00" * 100,
    "a map that promises 4 billion": b"\xdf\xff\xff\xff\xff" + b"\xa0\x00" * 100,
    "a binary field that promises 4 GB": b"\xc6\xff\xff\xff\xff" + b"\x00" * 100,
    "a text that promises 4 GB": b"\xdb\xff\xff\xff\xff" + b"\x00" * 100,
    "long keys": b"\xde\x80\x00"
    + b"".join(b"\xa5%05d\x00" % i for i in range(MANY // 2))
    + b"\xff",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_takes_bounded_memory(name: str) -> None:
    """A million values take at most 100 MB, whatever the bytes promise. msgpack's reader takes 128
    MB and more for two.
    """
    tracemalloc.start()
    try:
        with contextlib.suppress(SchemaError):
            unpack(HOSTILE[name], max_values=MANY)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (1 << 20 if "promises" in name else (100 << 20) // SHARE), (
        f"{peak / 2**20:.1f} MB"
    )


@pytest.mark.parametrize("name", [n for n in HOSTILE if "promises" in n])
def test_a_promise_is_refused_before_anything_is_read_for_it(name: str) -> None:
    with pytest.raises(SchemaError, match=r"(at least \d+|4294967295) bytes promised"):
        unpack(HOSTILE[name])


def test_the_number_of_values_is_bounded() -> None:
    with pytest.raises(SchemaError, match="too many"):
        unpack(pack([0] * 10), max_values=10)
    assert unpack(pack([0] * 10), max_values=11) == [0] * 10
    with pytest.raises(SchemaError, match="too many"):
        unpack(pack([b""] * 10), max_values=29)
    assert unpack(b"\x81\xa0\xc4\x00", max_values=5) == {"": b""}
    with pytest.raises(SchemaError, match="too many"):
        unpack(b"\x81\xa0\xc4\x00", max_values=4)
    with pytest.raises(SchemaError, match="too many"):
        unpack(b"\xdd" + MAX_VALUES.to_bytes(4, "big") + b"\xc0" * MAX_VALUES)
