"""Bytes an edge and megabytes a second of the codec, beside Arrow IPC, Parquet, msgpack rows and
JSON with zlib, on the same edges.

The row is 42 bytes: source, target, lag, effect, interval, confidence, stability (float32), hits,
n. Effects, confidence and stability are continuous, intervals symmetric, half of a row's bytes
random: what no codec can beat is printed as the order-0 entropy of the byte planes, keys as steps.
Codecs take turns. A turn writes, or reads, so many different documents that they come to about
eight million bytes of columns: as a round does, not one document over and over, and not one between
those of others either. Small documents are measured before the large ones and once more after them,
and the best counts: all their turns take seconds, and a shared machine's slow spells last longer.
"""

import io
import json
import zlib
from functools import partial
from typing import Any

import msgpack
import numpy as np
from measure import best_of

from hyperfed.codec import PayloadCodec
from hyperfed.packets import Update
from hyperfed.tables.tables import EdgeTable

ROW_BYTES = 42
TURN_BYTES = 8_000_000
LONG_REPEATS, SHORT_REPEATS = 7, 25  # of turns of a million edges, and of small documents


def findings(rows: int, *, seed: int = 0) -> Update:
    rng = np.random.default_rng(seed)
    variables, lags = (300, 4) if rows <= 100_000 else (1000, 4)
    key = np.sort(rng.choice(variables * variables * lags, rows, replace=False))
    effect, reach = rng.normal(0, 0.3, rows), 1.96 * (np.abs(rng.normal(0.05, 0.01, rows)) + 0.01)
    table = EdgeTable(
        source=(key // (variables * lags)).astype(np.uint32),
        target=(key // lags % variables).astype(np.uint32),
        lag=(key % lags + 1).astype(np.uint16),
        effect=effect.astype(np.float32),
        ci_low=(effect - reach).astype(np.float32),
        ci_high=(effect + reach).astype(np.float32),
        confidence=rng.beta(5, 1, rows).astype(np.float32),
        stability=rng.beta(4, 2, rows).astype(np.float32),
        hits=rng.poisson(20, rows).astype(np.uint32),
        n=np.full(rows, 5000, np.uint64),
    )
    return Update(measured=np.arange(variables, dtype=np.uint32), edges=table)


def plane_entropy(table: EdgeTable) -> float:
    """Bytes an edge of an ideal order-0 coder of each byte plane; the upper end of an interval
    costs nothing.
    """
    bits = 0.0
    for name in (
        "source",
        "target",
        "lag",
        "effect",
        "ci_low",
        "confidence",
        "stability",
        "hits",
        "n",
    ):
        column = getattr(table, name)
        if name in ("source", "target"):
            column = np.diff(column, prepend=column.dtype.type(0))
        for plane in np.ascontiguousarray(column).view(np.uint8).reshape(len(column), -1).T:
            share = np.bincount(plane, minlength=256) / len(column)
            share = share[share > 0]
            bits -= float((share * np.log2(share)).sum())
    return bits / 8


def _alternatives(update: Update) -> dict[str, tuple[Any, Any]]:
    """name -> (encode, decode of what it encoded)."""
    import pyarrow as pa
    import pyarrow.ipc
    import pyarrow.parquet as pq

    names = list(EdgeTable.__dataclass_fields__)
    columns = {name: getattr(update.edges, name) for name in names}
    arrow = pa.table(columns)

    def ipc() -> bytes:
        sink = io.BytesIO()
        with pa.ipc.new_stream(
            sink, arrow.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
        ) as writer:
            writer.write_table(arrow)
        return sink.getvalue()

    def parquet() -> bytes:
        sink = io.BytesIO()
        pq.write_table(arrow, sink, compression="zstd")
        return sink.getvalue()

    def rows() -> list[Any]:
        return list(zip(*(column.tolist() for column in columns.values()), strict=True))

    return {
        "Arrow IPC, zstd": (ipc, lambda data: pa.ipc.open_stream(data).read_all()),
        "Parquet, zstd": (parquet, lambda data: pq.read_table(io.BytesIO(data))),
        "msgpack rows": (lambda: msgpack.packb(rows()), msgpack.unpackb),
        "JSON, zlib": (
            lambda: zlib.compress(json.dumps(rows()).encode(), 6),
            lambda data: json.loads(zlib.decompress(data)),
        ),
    }


def run(*, quick: bool) -> list[dict[str, Any]]:
    """One entry for each size and codec: bytes an edge, MB/s of raw columns each way."""
    small, large = 10_000, 100_000 if quick else 1_000_000
    first, between, last = measured(small), measured(large), measured(small)
    return [_better(one, other) for one, other in zip(first, last, strict=True)] + between


def _better(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return one | {
        way: one[way] and max(one[way], other[way]) for way in ("encode_mb_s", "decode_mb_s")
    }


def measured(rows: int) -> list[dict[str, Any]]:
    """The entries of one size."""
    updates = [
        findings(rows, seed=seed) for seed in range(max(1, TURN_BYTES // (ROW_BYTES * rows)))
    ]
    ours = {"hyperfed": None, "hyperfed, zstd": "zstd"}
    codecs: dict[str, list[tuple[Any, Any]]] = {}
    for name, compression in ours.items():
        codec = PayloadCodec(compression=compression)
        codecs[name] = [
            (partial(codec.encode, update), partial(codec.decode, kind=Update))
            for update in updates
        ]
    others = [_alternatives(update) for update in updates]
    codecs |= {name: [each[name] for each in others] for name in others[0]}
    slow = {"msgpack rows", "JSON, zlib"}
    out = []
    for group in ([n for n in codecs if n not in slow], [n for n in codecs if n in slow]):
        if group[0] in slow:
            codecs |= {name: codecs[name][:2] for name in group}
        repeats = 2 if group[0] in slow else LONG_REPEATS if len(updates) == 1 else SHORT_REPEATS
        data = {name: [encode() for encode, _ in codecs[name]] for name in group}
        encode = best_of(
            {name: partial(_all, [encode for encode, _ in codecs[name]]) for name in group},
            repeats=repeats,
        )
        reading = {
            name: [
                partial(decode, each)
                for (_, decode), each in zip(codecs[name], data[name], strict=True)
            ]
            for name in group
        }
        decode = best_of({name: partial(_all, reading[name]) for name in group}, repeats=repeats)
        for name in group:
            raw = ROW_BYTES * rows * len(data[name]) / 1e6
            rates = {"encode_mb_s": raw / encode[name], "decode_mb_s": raw / decode[name]}
            out.append(
                {"rows": rows, "codec": name, "bytes_an_edge": len(data[name][0]) / rows} | rates
            )
    first = updates[0].edges
    assert first is not None
    entropy = plane_entropy(first)
    out.append(
        {
            "rows": rows,
            "codec": "limit: entropy of the planes",
            "bytes_an_edge": entropy,
            "encode_mb_s": None,
            "decode_mb_s": None,
        }
    )
    return out


def _all(works: list[Any]) -> None:
    for work in works:
        work()


def show(entries: list[dict[str, Any]]) -> str:
    lines = [
        "| edges | codec | bytes an edge | encode MB/s | decode MB/s |",
        "|---|---|---|---|---|",
    ]
    for e in entries:
        speed = ["" if e[k] is None else f"{e[k]:,.0f}" for k in ("encode_mb_s", "decode_mb_s")]
        lines.append(
            f"| {e['rows']:,} | {e['codec']} | {e['bytes_an_edge']:.2f} | {speed[0]} | {speed[1]} |"
        )
    return "\n".join(lines)
