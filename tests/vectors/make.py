"""Make the golden packets again: `python tests/vectors/make.py`. `test_vectors.py` fails where they
would differ from the files.

v1/good/*.bin   what every later version must still read; v1/index.json says what is in each
v1/bad/*.bin    what every implementation must refuse, with the rule that refuses it
v1/kept/*.bin   sealed envelopes: they hold fresh randomness, so they are made once and kept

Everything but `kept` is a pure function of this file. After the first release a format change adds
v2/ and leaves v1/ as it is; before it, a changed field is followed by `make.py --kept`.
"""

import dataclasses
import hashlib
import json
import struct
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from hyperfed.codec import PayloadCodec, pack, to_record, unpack
from hyperfed.codec.versions import lowered
from hyperfed.crypto.envelope import PacketType, assemble, open_envelope
from hyperfed.dropbox.opening_objects import (
    Confirmation,
    HelperKey,
    HelperRefusal,
    MaskBoxes,
    OpeningSums,
    Rebuttal,
    RoundManifest,
)
from hyperfed.hypergraph.evidence import Evidence, Spread, StoreEvidence
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.hypergraph.origins import BasketSupport, Unadjusted
from hyperfed.hypergraph.single_clients import ClientEstimates
from hyperfed.packets import (
    CausalSemanticPack,
    Claims,
    EdgeDelta,
    Knowledge,
    PathPack,
    PolicyPack,
    SumsPolicy,
    Update,
)
from hyperfed.packets.masked import MaskedNumbers
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Counted, Freeze, Plan, Refused
from hyperfed.protocol.packs import make_pack
from hyperfed.protocol.receipt_objects import Fate, Receipt, Weighing
from hyperfed.registry.registry import sign_registry
from hyperfed.statistics import Statistics
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import DeltaTable, EdgeTable
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import GENESIS, SmallFederation, key_of

HERE = Path(__file__).parent / "v1"
VICTIM = "site-01"
STEPS = b"\0" + b"\1" * 1299  # 0, 1, 2, ..., 1299 as steps


def edges(dtype: Any) -> EdgeTable:
    effect = np.array([0.5, -1.25, 3.0], dtype)
    unit = np.array([0.0, 0.5, 1.0], dtype)
    return EdgeTable(
        source=np.array([0, 0, 2], np.uint32),
        target=np.array([1, 1, 2], np.uint32),
        lag=np.array([0, 7, 1], np.uint16),
        effect=effect,
        ci_low=(effect - 1).astype(dtype),
        ci_high=(effect + 2).astype(dtype),
        confidence=unit,
        stability=unit[::-1],
        hits=np.array([1, 20, 4_000_000_000], np.uint32),
        n=np.array([0, 100, 2**40], np.uint64),
    )


def packets() -> dict[str, Any]:
    """What the good documents say."""
    hyper = HyperedgeTable.build(
        sources=[[0, 1], [0, 1, 3]],
        target=[2, 2],
        lag=[1, 1],
        effect=[0.5, -0.5],
        confidence=0.5,
        stability=0.25,
        hits=3,
        n=30,
    )
    zero = np.zeros(1)
    deltas = DeltaTable(
        source=np.zeros(1, np.uint32),
        target=np.ones(1, np.uint32),
        lag=np.zeros(1, np.uint16),
        weight_delta=zero + 0.25,
        ci_low_delta=zero,
        ci_high_delta=zero,
        hits_delta=np.array([-1], np.int32),
    )
    semantic = CausalSemanticPack(
        [(0, 1, 0.5), (1, 2, -1.0)],
        [3],
        [{"do": "heat", "to": 1.5, "times": 3, "blind": True, "note": None}],
    )
    measured = np.arange(4, dtype=np.uint32)
    freeze = one_freeze()
    return {
        "path": PathPack(0, 1, 2, -1.5, 0.25, 1.0),
        "paths": [PathPack(0, 1, 2, -1.5, 0.25, 1.0), PathPack(1, 1, 1, 5e-324, 0.0, 0.5)],
        "no-paths": [],
        "edge-delta": EdgeDelta(0, 1, 0.5, (-0.25, 0.25), -3, lag=4),
        "policy": PolicyPack(g_min=0.01, n_proposals=10, strategy="weighted"),
        "semantic": semantic,
        "claims": Claims(clip_norm=1.0),
        "update-f64": Update(measured=measured, edges=edges(np.float64)),
        "update-f32": Update(measured=measured, edges=edges(np.float32)),
        "update-full": Update(
            measured=measured,
            edges=edges(np.float64),
            hyperedges=hyper,
            semantic=semantic,
            claims=Claims(clip_norm=2.0, loss=0.125),
        ),
        "update-deltas": Update(measured=measured, deltas=deltas, base=bytes(range(32))),
        "update-empty": Update(measured=np.zeros(0, np.uint32), edges=EdgeTable.empty()),
        "update-lags": Update(measured=measured, edges=edges(np.float64), lags=(0, 1, 2, 7)),
        "update-no-lags": Update(measured=measured, edges=EdgeTable.empty(), lags=()),
        "policy-lags": PolicyPack(lags=(0, 1, 12)),
        "policy-fdr": PolicyPack(cut="fdr", fdr_max=0.125),
        "policy-knowledge": PolicyPack(
            knowledge=Knowledge(
                tiers=(("heat",), ("d\u00e9bit", "\u6e29\u5ea6")),
                forbidden=(("d\u00e9bit", "\u6e29\u5ea6"),),
                required=(("heat", "d\u00e9bit"),),
            )
        ),
        "policy-statistics": PolicyPack(
            payload="statistics",
            lags=(0,),
            statistics=SumsPolicy(engine="pc", version="causal-learn 0.1.4.8", alpha=0.125),
        ),
        "policy-private-statistics": PolicyPack(
            payload="statistics",
            lags=(1,),
            privacy="central",
            strategy="mean",
            trust_min=0,
            max_staleness=0,
            statistics=SumsPolicy(row_norm=3.0, centring="public"),
        ),
        "policy-show-clients": PolicyPack(show_clients=True),
        "policy-secure-sum": PolicyPack(
            payload="statistics",
            lags=(1,),
            strategy="mean",
            trust_min=0,
            max_staleness=0,
            organisation_cap=0,
            statistics=SumsPolicy(short_bias="kept"),
            aggregation="secure-sum",
        ),
        "update-masked": Update(
            measured=measured,
            edges=EdgeTable.empty(),
            lags=(1,),
            masked=MaskedNumbers(values=np.arange(5, dtype=np.uint64) << np.uint64(60)),
        ),
        **_of_openings(),
        "update-statistics": one_of_statistics(),
        "update-statistics-counts": one_of_statistics(counts=np.full(10, 29, np.uint64)),
        "vocabulary": Vocabulary.of(
            "heat", "d\u00e9bit", "\u6e29\u5ea6", domain="plant", version=3
        ),
        "plan-lags": one_plan(),
        "plan-domains": dataclasses.replace(
            one_plan(), domains=(("site-01", "plants"), ("site-02", "grid"))
        ),
        "model": one_model(),  # schema version 1: no interval but that of the effect
        "model-spread": one_model(spread=True),
        "model-by-client": dataclasses.replace(
            one_model(),
            by_client=ClientEstimates(
                edge=[0, 0, 2],
                client=[0, 1, 1],
                effect=[0.5, -0.25, 1.5],
                ci_low=[0.25, -0.25, 1.0],
                ci_high=[0.75, -0.25, 2.0],
                weight=[0.75, 0.25, 0.25],
            ),
        ),
        "receipt": one_receipt(),  # schema version 1: it tells no weighing
        "receipt-weighing": dataclasses.replace(
            one_receipt(),
            weighing=Weighing(agreement=-0.25, weight=0.0, trust=0.21),
            padding=bytes(300),
        ),
        "receipt-untold-agreement": dataclasses.replace(
            one_receipt(), weighing=Weighing(agreement=None, weight=0.9, trust=0.5)
        ),
        "freeze": freeze,  # schema version 1: an object of `accepted/` for each update
        "freeze-packs": dataclasses.replace(
            freeze, packs=(bytes(range(32)), bytes(range(1, 33))), in_pack=(0, 1, 0)
        ),
        "freeze-formula": dataclasses.replace(
            freeze, packs=(bytes(range(32)), bytes(range(1, 33))), in_pack=(0, 1, 0), formula=2
        ),
    }


def one_of_statistics(**fields: Any) -> Update:
    """Two variables at lags 0 and 1, one of which an experiment set."""
    moments = np.array([8.0, 2.0, 4.0, -1.0, 6.0, 0.5, 3.0, 8.0, 2.5, 6.0])
    return Update(
        measured=np.array([0, 2], np.uint32),
        edges=EdgeTable.empty(),
        semantic=CausalSemanticPack(interventions=[{"variable": 2}]),
        lags=(1,),
        statistics=Statistics(
            variables=np.array([0, 2], np.uint32),
            lags=(1,),
            n=30,
            moments=moments,
            intervened=(2,),
            **fields,
        ),
    )


def one_freeze() -> Freeze:
    """Three updates counted, one of them late, and one refused."""
    counted = tuple(
        Counted(
            client=f"site-0{i}",
            made_for=3 - (i == 2),
            slot=0,
            sequence=40 + i,
            digest=hashlib.sha256(bytes([i])).digest(),
        )
        for i in (1, 2, 3)
    )
    refused = Refused(
        key="inbox/00000003/site-04/0",
        client="site-04",
        made_for=3,
        sequence=-1,
        digest=b"",
        rule="R-11",
        reason="no",
        remedy="Send it again",
    )
    return Freeze(
        federation="small-fed",
        round=3,
        plan=b"p" * 32,
        registry_version=1,
        registry_digest=b"r" * 32,
        base_round=2,
        base_state=b"s" * 32,
        counted=counted,
        refused=(refused,),
        excluded=("site-05",),
        claim_sequence=4,
        claim_digest=b"c" * 32,
        merkle_head=b"m" * 32,
        time=GENESIS,
    )


def one_plan() -> Plan:
    """A plan that names lags."""
    return Plan(
        federation="small-fed",
        round=3,
        registry_version=1,
        registry_digest=b"r" * 32,
        newest_commit_round=2,
        newest_commit=b"c" * 32,
        policy=PolicyPack(lags=(1, 2)),
        vocabulary=Vocabulary.of("heat", "load"),
        cohort=("site-01", "site-02"),
        quorum=2,
        opens=GENESIS,
        deadline=GENESIS + timedelta(days=1),
        close_by=GENESIS + timedelta(days=2),
    )


def one_model(*, spread: bool = False) -> GlobalModel:
    """A model of three edges. spread: with all that a model says since formula 3."""
    zero, three = np.zeros(3), np.full(3, 3)
    table = edges(np.float64)
    about = Evidence(
        vote=np.array([0.75, -0.5, 0.5]),
        support=three,
        reporting=three,
        measured_by=np.full(3, 4),
        samples=np.full(3, 300),
        std_error=np.array([0.25, 0.5, 0.125]),
        tau2=zero,
        i2=zero,
        pooled=np.ones(3, bool),
        spread=Spread(
            q=np.array([0.001, 0.25, 1.0]),
            predict_low=table.effect - 2,
            predict_high=table.effect + 2,
            without_low=table.effect - 0.5,
            without_high=table.effect + 0.5,
            positive=np.array([3, 0, 3]),
            negative=np.array([0, 4, 1]),
        )
        if spread
        else None,
    )
    more = {
        "support_by": (
            BasketSupport(name="grid", clients=1, support=np.array([0, 0, 1])),
            BasketSupport(name="plants", clients=3, support=np.array([3, 3, 2])),
        ),
        "unadjusted": Unadjusted(edge=[1], variable=[2], lacking=[2], supporters=[3]),
    }
    return GlobalModel(
        federation="small-fed",
        round=3,
        time=GENESIS,
        freeze=bytes(range(32)),
        clients=4,
        policy=PolicyPack(),
        vocabulary=Vocabulary.of("heat", "load", "wind"),
        measured=np.arange(3, dtype=np.uint32),
        edges=table,
        hyperedges=HyperedgeTable.empty(),
        semantic=CausalSemanticPack(),
        evidence=StoreEvidence(edges=about),
        **(more if spread else {}),
    )


def one_receipt() -> Receipt:
    """The receipt of an update that is the second of two leaves."""
    return Receipt(
        federation="small-fed",
        round=3,
        client="site-02",
        fate=Fate.COUNTED,
        made_for=3,
        sequence=42,
        digest=bytes(range(32)),
        rule="",
        reason="counted",
        remedy="",
        leaf=b"counted/site-02/3/42/00",
        index=1,
        size=2,
        path=(bytes(32),),
        merkle_head=b"m" * 32,
        ledger_sequence=6,
        ledger_digest=b"l" * 32,
        result=b"r" * 32,
    )


def updates_of_a_pack() -> dict[bytes, bytes]:
    """packet digest -> what stands for an envelope."""
    return {
        hashlib.sha256(bytes([i])).digest(): bytes([i]) * size
        for i, size in ((1, 3), (2, 300), (3, 70_000))
    }


def wide() -> Update:
    """An update large enough for its columns to travel as planes: 400 edges of a grid, intervals
    symmetric but for one.
    """
    at = np.arange(400)
    effect = ((at * 37 % 101 - 50) / 64).astype(np.float32)
    high = effect + np.float32(0.3)
    high[7] += 1
    table = EdgeTable.build(
        source=at // 20,
        target=at % 20,
        lag=1 + at % 3,
        effect=effect,
        ci_low=effect - np.float32(0.3),
        ci_high=high,
        confidence=(at % 97 / 97).astype(np.float32),
        stability=(at % 89 / 89).astype(np.float32),
        hits=at * 7,
        n=5000,
    )
    return Update(measured=np.arange(20, dtype=np.uint32), edges=table)


def federation() -> SmallFederation:
    """The federation the envelopes belong to: unsealed, so that its packets can be made again."""
    fed = SmallFederation(policy=PolicyPack(sealed=False))
    fed.open(1)
    return fed


def update_envelope(fed: SmallFederation, **changes: Any) -> bytes:
    return fed.envelope(
        VICTIM, **({"sequence": 1, "nonce": b"vectors/v1 nonce", "compression": None} | changes)
    )


def good(fed: SmallFederation) -> dict[str, tuple[bytes, str]]:
    """name -> (bytes, kind)."""
    made: dict[str, tuple[bytes, str]] = {}
    for name, value in packets().items():
        kind = (
            f"list[{type(value[0]).__name__}]"
            if value and isinstance(value, list)
            else "list[]"
            if value == []
            else type(value).__name__
        )
        made[name] = (PayloadCodec().encode(value), kind)
    made["pack"] = (make_pack([*updates_of_a_pack().items()]).data, "pack")
    made["envelope-update"] = (update_envelope(fed), PacketType.UPDATE.value)
    made["envelope-plan"] = (fed.store.read(Keys.plan(1), max_bytes=1 << 20), PacketType.PLAN.value)
    made["envelope-registry"] = (sign_registry(fed.registry, fed.roots), PacketType.REGISTRY.value)
    return made


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


def _of_openings() -> dict[str, Any]:
    """What clients, helpers and the coordinator write so that a sum is opened."""
    about: dict[str, Any] = {"federation": "small-fed", "round": 3}
    return {
        "helper-key": HelperKey(**about, helper="clinic-a", sealing=bytes(range(32))),
        "mask-boxes": MaskBoxes(
            **about,
            client="site-01",
            registry_version=2,
            plan=b"p" * 32,
            update=b"u" * 32,
            payload="statistics",
            length=5,
            commitments=(b"c" * 32, b"d" * 32),
            boxes=(b"box", b""),
            keys=(b"k" * 32, b""),
        ),
        "confirmation": Confirmation(
            **about,
            helper="clinic-a",
            confirmed=(("site-01", b"b" * 32),),
            refused=(("site-02", "its box does not open"),),
        ),
        "confirmation-refused-boxes": Confirmation(
            **about,
            helper="clinic-a",
            confirmed=(),
            refused=(("site-02", "its box does not open"),),
            refused_boxes=(("site-02", b"c" * 32),),
        ),
        "rebuttal": Rebuttal(
            **about,
            client="site-02",
            plan=b"p" * 32,
            accused=b"c" * 32,
            published=(("clinic-a", bytes(range(32))),),
        ),
        "manifest": RoundManifest(
            **about,
            freeze=b"f" * 32,
            payload="statistics",
            length=5,
            messages=(("site-01", b"b" * 32),),
        ),
        "opening": OpeningSums(
            **about,
            helper="clinic-a",
            manifest=b"m" * 32,
            payload="statistics",
            sums=np.arange(10, dtype=np.uint64),
        ),
        "helper-refusal": HelperRefusal(
            **about, helper="clinic-a", manifest=b"m" * 32, reason="another manifest was answered"
        ),
    }


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


def kept(fed: SmallFederation) -> dict[str, bytes]:
    """Sealed envelopes and compressed documents: the first are new in every call, the second may be
    with another zstd.
    """
    return {
        "wide-zstd": PayloadCodec(compression="zstd").encode(wide()),
        "envelope-sealed": update_envelope(fed, sealed=True),
        "envelope-sealed-zstd": update_envelope(fed, sealed=True, sequence=2, compression="zstd"),
    }


def files() -> tuple[dict[str, bytes], dict[str, Any]]:
    """(path below v1/ -> bytes, the index), without `kept`."""
    fed = federation()
    content: dict[str, bytes] = {}
    index: dict[str, Any] = {"good": {}, "bad": {}}
    for folder, made in (("good", good(fed)), ("bad", bad(fed))):
        for name, (data, what) in sorted(made.items()):
            content[f"{folder}/{name}.bin"] = data
            index[folder][name] = {
                "kind" if folder == "good" else "rule": what,
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
    return content, index


def write(content: Mapping[str, bytes], index: Mapping[str, Any], *, anew: bool) -> None:
    """anew: make the sealed ones again."""
    for folder in ("good", "bad", "kept"):
        (HERE / folder).mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (HERE / name).write_bytes(data)
    (HERE / "index.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
    for name, data in kept(federation()).items():
        if anew or not (HERE / "kept" / f"{name}.bin").exists():
            (HERE / "kept" / f"{name}.bin").write_bytes(data)


if __name__ == "__main__":
    write(*files(), anew="--kept" in sys.argv)
    sys.stdout.write(f"{HERE}: {len(files()[0])} files\n")
