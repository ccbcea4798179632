"""The golden refusals: what every implementation must refuse, with the rule that refuses it."""

import dataclasses
import struct
from datetime import timedelta
from typing import Any

import numpy as np
import zstandard

from hyperfed.codec import pack, to_record, unpack
from hyperfed.codec.versions import lowered
from hyperfed.crypto.envelope import PacketType, assemble, open_envelope
from hyperfed.packets import (
    PolicyPack,
    Update,
)
from hyperfed.tables.tables import EdgeTable
from hyperfed.testing.federation import SmallFederation, key_of
from tests.vectors.good_documents import (
    one_of_statistics,
    packets,
)

VICTIM = "site-01"
STEPS = b"\0" + b"\1" * 1299  # 0, 1, 2, ..., 1299 as steps


def federation() -> SmallFederation:
    """The federation the envelopes belong to: unsealed, so that its packets can be made again."""
    fed = SmallFederation(policy=PolicyPack(sealed=False))
    fed.open(1)
    return fed


def update_envelope(fed: SmallFederation, **changes: Any) -> bytes:
    return fed.envelope(
        VICTIM, **({"sequence": 1, "nonce": b"vectors/v1 nonce", "compression": None} | changes)
    )


def bad(fed: SmallFederation) -> dict[str, tuple[bytes, str]]:
    """name -> (bytes, rule): documents are read as what they claim to be, envelopes by a validator
    in round 1.
    """
    path = to_record(packets()["path"])
    _, update = lowered(Update, to_record(packets()["update-f64"]))
    raw = pack(path)

    def document(
        payload: bytes,
        *,
        kind: str = "PathPack",
        compression: str = "",
        raw_size: int | None = None,
        version: int = 1,
    ) -> bytes:
        return pack(
            [version, kind, compression, len(payload) if raw_size is None else raw_size, payload]
        )

    def with_edges(**columns: Any) -> bytes:
        return document(pack(update | {"edges": update["edges"] | columns}), kind="Update")

    def float_column(*values: float) -> list[Any]:
        return ["<f8", np.array(values, "<f8").tobytes()]

    freeze = to_record(packets()["freeze-packs"])

    def frozen(version: int, **fields: Any) -> bytes:
        return document(
            pack(
                {
                    name: value
                    for name, value in (
                        freeze | {"formula": None, "signed_by": None, "helpers": None} | fields
                    ).items()
                    if value is not None
                }
            ),
            kind="Freeze",
            version=version,
        )

    one = [bytes(range(32)), b"an update"]
    envelope = open_envelope(update_envelope(fed))
    header, signatures = bytes(envelope.header_bytes), envelope.signatures
    parts = unpack(update_envelope(fed))
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(1 << 20))
    return {
        "document-empty": (b"", "R-12"),
        "document-version-2": (document(raw, version=2), "R-12"),
        "document-version-0": (document(raw, version=0), "R-12"),
        "document-other-kind": (document(raw, kind="EdgeDelta"), "R-11"),
        "document-raw-size": (document(raw, raw_size=len(raw) + 1), "R-13"),
        "document-trailing": (document(raw) + b"\0", "R-10"),
        "document-truncated": (document(raw)[:-1], "R-10"),
        "document-payload-trailing": (document(raw + b"\0"), "R-10"),
        "document-zip-bomb": (
            document(pack([1000, bomb, b""]), kind="Update", compression="zstd", raw_size=1000),
            "R-13",
        ),
        "document-zip-bomb-in-a-plane": (_coded(update, planes=bomb), "R-13"),
        "document-planes-trailing": (_coded(update, planes=STEPS + b"\0"), "R-13"),
        "document-planes-cut": (_coded(update, planes=STEPS[:-1]), "R-13"),
        "column-planes-uncompressed": (with_edges(source=["<u4:planes", b"\0" * 9]), "R-11"),
        "column-planes-too-many": (_coded(update, lengths=(1300, 1300, 1300, 1300, 1300)), "R-11"),
        "column-planes-unknown-coding": (_coded(update, coding=4, width=4), "R-11"),
        "column-planes-narrow": (_coded(update, coding=0, width=2), "R-11"),
        "column-planes-reach-of-keys": (_coded(update, reach=0.5), "R-11"),
        "column-planes-mirrored-integers": (_coded(update, coding=2, width=4), "R-11"),
        "document-nested": (document(b"\x91" * 8 + b"\x90"), "R-10"),
        "document-empty-batch-with-kind": (document(b"\x90", kind="list[PathPack]"), "R-12"),
        "scalar-long-int": (document(raw.replace(b"\xa3lag\x02", b"\xa3lag\xcc\x02")), "R-10"),
        "scalar-float32": (
            document(
                raw.replace(b"\xa6effect\xcb\xbf\xf8" + bytes(6), b"\xa6effect\xca\xbf\xc0\x00\x00")
            ),
            "R-10",
        ),
        "scalar-minus-zero": (
            document(
                raw.replace(b"\xa6effect\xcb\xbf\xf8" + bytes(6), b"\xa6effect\xcb\x80" + bytes(7))
            ),
            "R-10",
        ),
        "scalar-nan": (
            document(
                raw.replace(
                    b"\xa6effect\xcb\xbf\xf8" + bytes(6), b"\xa6effect\xcb\x7f\xf8" + bytes(6)
                )
            ),
            "R-10",
        ),
        "scalar-ext": (document(raw.replace(b"\xa3lag\x02", b"\xa3lag\xd4\x00\x02")), "R-10"),
        "map-key-twice": (document(b"\x87" + raw[1:] + raw[1:13]), "R-10"),
        "map-keys-out-of-order": (document(b"\x82\xa1b\x00\xa1a\x00"), "R-10"),
        "field-bool-for-int": (document(pack(path | {"lag": True})), "R-11"),
        "field-int-for-float": (document(pack(path | {"effect": 1})), "R-11"),
        "field-missing": (document(pack({k: v for k, v in path.items() if k != "lag"})), "R-11"),
        "field-unknown": (document(pack(path | {"zzz": 1})), "R-11"),
        "bounds-confidence": (document(pack(path | {"confidence": 1.5})), ""),
        "bounds-index": (document(pack(path | {"source_idx": 1 << 24})), ""),
        "column-nan": (with_edges(effect=float_column(0.5, float("nan"), 3.0)), "R-10"),
        "column-infinite": (with_edges(effect=float_column(0.5, float("inf"), 3.0)), "R-10"),
        "column-minus-zero": (with_edges(confidence=float_column(-0.0, 0.5, 1.0)), ""),
        "column-big-endian": (
            with_edges(source=[">u4", np.array([0, 0, 2], ">u4").tobytes()]),
            "R-11",
        ),
        "column-short": (with_edges(hits=["<u4", bytes(8)]), ""),
        "column-odd": (with_edges(hits=["<u4", bytes(11)]), "R-11"),
        "column-rounded": (with_edges(confidence=["<u2", bytes(6)]), "R-11"),
        "rows-out-of-order": (with_edges(source=["<u4", np.array([2, 0, 0], "<u4").tobytes()]), ""),
        "rows-twice": (with_edges(lag=["<u2", np.array([7, 7, 1], "<u2").tobytes()]), ""),
        "interval-beside-effect": (with_edges(ci_low=float_column(9.0, 9.0, 9.0)), ""),
        "end-not-measured": (
            document(
                pack(update | {"measured": ["<u4", np.array([0, 1], "<u4").tobytes()]}),
                kind="Update",
            ),
            "",
        ),
        "update-lags-in-version-1": (document(pack(update | {"lags": [1]}), kind="Update"), "R-11"),
        "update-version-2-that-says-nothing-new": (
            document(pack(update | {"lags": None}), kind="Update", version=2),
            "R-10",
        ),
        "update-version-2-without-lags": (
            document(pack(update), kind="Update", version=2),
            "R-11",
        ),
        "update-version-3": (document(pack(update), kind="Update", version=3), "R-10"),
        "update-version-9": (document(pack(update), kind="Update", version=9), "R-12"),
        "update-lags-out-of-order": (
            document(pack(update | {"lags": [1, 0, 7]}), kind="Update", version=2),
            "",
        ),
        "update-lag-not-looked-at": (
            document(pack(update | {"lags": [0, 1]}), kind="Update", version=2),
            "",
        ),
        "update-statistics-in-version-5": (_of_statistics(version=5), "R-11"),
        "statistics-of-no-rows": (_of_statistics(at=1, moment=9.0), ""),
        "statistics-without-variance": (_of_statistics(at=4, moment=-6.0), ""),
        "statistics-not-a-number": (_of_statistics(at=4, moment=float("nan")), "R-10"),
        "statistics-of-another-size": (_of_statistics(lags=[1, 2]), ""),
        "freeze-packs-in-version-1": (frozen(1), "R-11"),
        "freeze-version-2-without-packs": (frozen(2, packs=None, in_pack=None), "R-11"),
        "freeze-version-2-that-says-nothing-new": (frozen(2, packs=[], in_pack=[]), "R-10"),
        "freeze-formula-in-version-2": (frozen(2, formula=2), "R-11"),
        "freeze-version-3": (frozen(3), "R-11"),
        "freeze-version-3-that-says-nothing-new": (frozen(3, formula=1), "R-10"),
        "freeze-version-4": (frozen(4, formula=2), "R-11"),
        "freeze-version-4-that-says-nothing-new": (frozen(4, formula=2, signed_by=[]), "R-10"),
        "freeze-version-9": (frozen(9, formula=2, signed_by=[1]), "R-12"),
        "freeze-signed-by-too-many": (frozen(4, formula=2, signed_by=[1] * 99), ""),
        "freeze-signed-by-first-keys": (frozen(4, formula=2, signed_by=[0, 0, 0]), ""),
        "freeze-formula-0": (frozen(3, formula=0), ""),
        "freeze-pack-of-nothing": (frozen(2, in_pack=[0, 0, 0]), ""),
        "freeze-pack-out-of-order": (frozen(2, in_pack=[1, 0, 0]), ""),
        "freeze-pack-twice": (frozen(2, packs=[bytes(32), bytes(32)]), ""),
        "freeze-update-without-a-pack": (frozen(2, in_pack=[0, 1]), ""),
        "pack-version-2": (pack([2, [one]]), "R-12"),
        "pack-empty": (pack([1, []]), "R-66"),
        "pack-update-twice": (pack([1, [one, one]]), "R-66"),
        "pack-short-digest": (pack([1, [[one[0][1:], one[1]]]]), "R-66"),
        "pack-truncated": (pack([1, [one]])[:-1], "R-10"),
        "pack-trailing": (pack([1, [one]]) + b"\0", "R-10"),
        "envelope-version-2": (pack([2, *parts[1:]]), "R-12"),
        "envelope-unsigned": (pack([*parts[:3], [], parts[4]]), "R-30"),
        "envelope-signature-63": (
            pack([*parts[:3], [[signatures[0][0], signatures[0][1][:63]]], parts[4]]),
            "R-30",
        ),
        "envelope-signature-65": (
            pack([*parts[:3], [[signatures[0][0], signatures[0][1] + b"\0"]], parts[4]]),
            "R-30",
        ),
        "envelope-signature-twice": (
            pack([*parts[:3], [list(signatures[0])] * 2, parts[4]]),
            "R-30",
        ),
        "envelope-bad-signature": (
            assemble(envelope.type, header, [(signatures[0][0], bytes(64))], envelope.body),
            "R-31",
        ),
        "envelope-other-type": (
            assemble(PacketType.PLAN, header, signatures, envelope.body),
            "R-30",
        ),
        "envelope-type-rewritten": (
            assemble(PacketType.UPDATE, *_of(update_envelope(fed, type_=PacketType.MESSAGE))),
            "R-31",
        ),
        "envelope-other-body": (
            assemble(envelope.type, header, signatures, b"another body"),
            "R-33",
        ),
        "envelope-unknown-key": (update_envelope(fed, key_pair=key_of("stranger")), "R-81"),
        "envelope-other-sender": (update_envelope(fed, sender="site-02"), "R-82"),
        "envelope-other-federation": (update_envelope(fed, federation="other-fed"), "R-83"),
        "envelope-other-audience": (update_envelope(fed, audience="clients"), "R-83"),
        "envelope-too-old": (update_envelope(fed, round=0), "R-81"),
        "envelope-from-the-future": (
            update_envelope(fed, created=fed.night(1) + timedelta(seconds=601)),
            "R-85",
        ),
        "envelope-expired": (
            update_envelope(fed, expires=fed.night(1) - timedelta(seconds=600)),
            "R-85",
        ),
        "envelope-other-vocabulary": (update_envelope(fed, vocabulary=bytes(32)), "R-86"),
        "envelope-other-policy": (update_envelope(fed, policy=bytes(32)), "R-87"),
        "envelope-short-nonce": (update_envelope(fed, nonce=b"short"), "R-89"),
        "envelope-outside-vocabulary": (
            update_envelope(fed, update=Update(measured=np.arange(5), edges=EdgeTable.empty())),
            "R-90",
        ),
        "envelope-weak-edges": (update_envelope(fed, update=_weak(fed)), "R-91"),
        "envelope-base-gone": (update_envelope(fed, update=packets()["update-deltas"]), "R-97"),
    }


def _coded(
    update: dict[str, Any],
    *,
    coding: int = 1,
    width: int = 2,
    reach: float = 0.0,
    lengths: tuple[int, ...] = (1300,),
    planes: bytes = STEPS,
) -> bytes:
    """A compressed update whose `measured` is 1300 values in planes that are not compressed
    themselves.
    """
    record = pack(
        update
        | {
            "measured": [
                "<u4:planes",
                struct.pack(f"<BBId{len(lengths)}I", coding, width, 1300, reach, *lengths),
            ]
        }
    )
    return pack([1, "Update", "zstd", len(record) + 4 * 1300, pack([len(record), record, planes])])


def _of_statistics(
    *, version: int = 6, at: int | None = None, moment: float = 0.0, lags: Any = None
) -> bytes:
    """An update of statistics with a moment or the lags changed."""
    plain = to_record(one_of_statistics())
    del plain["masked"]
    statistics = dict(plain["statistics"])
    if at is not None:
        moments = one_of_statistics().statistics.moments.copy()  # type: ignore[union-attr]
        moments[at] = moment
        statistics["moments"] = ["<f8", moments.astype("<f8").tobytes()]
    if lags is not None:
        statistics["lags"] = lags
        plain["lags"] = lags
    payload = pack(plain | {"statistics": statistics})
    return pack([version, "Update", "", len(payload), payload])


def _of(data: bytes) -> tuple[bytes, Any, Any]:
    envelope = open_envelope(data)
    return bytes(envelope.header_bytes), envelope.signatures, envelope.body


def _weak(fed: SmallFederation) -> Update:
    update = fed.update(VICTIM)
    return dataclasses.replace(
        update, edges=dataclasses.replace(update.edges, stability=np.full(3, 0.05))
    )  # type: ignore[type-var]
