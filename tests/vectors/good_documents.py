"""What the golden documents say: every later version must still read them."""

import dataclasses
import hashlib
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np

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
from hyperfed.protocol.entries import EntryKind, LedgerEntry, Mechanism
from hyperfed.protocol.objects import Counted, Freeze, Plan, Refused
from hyperfed.protocol.receipt_objects import Fate, Receipt, Weighing
from hyperfed.statistics import Statistics
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import DeltaTable, EdgeTable
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import GENESIS


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
        "policy-noise-shares": PolicyPack(
            payload="statistics",
            lags=(1,),
            strategy="mean",
            trust_min=0,
            max_staleness=0,
            organisation_cap=0,
            statistics=SumsPolicy(row_norm=3.0),
            aggregation="secure-sum",
            privacy="shares",
            noise_shares=12,
        ),
        "policy-central-sum": PolicyPack(
            payload="statistics",
            lags=(1,),
            strategy="mean",
            trust_min=0,
            max_staleness=0,
            organisation_cap=0,
            statistics=SumsPolicy(row_norm=3.0),
            aggregation="secure-sum",
            privacy="central",
        ),
        "policy-masked-effects": PolicyPack(
            lags=(1,),
            strategy="mean",
            trust_min=0,
            max_staleness=0,
            organisation_cap=0,
            aggregation="secure-sum",
            privacy="shares",
            noise_shares=12,
            record_bound=0.02,
        ),
        "update-masked-effects": Update(
            measured=measured,
            edges=EdgeTable.empty(),
            lags=(1,),
            claims=Claims(record_bound=0.02),
            masked=MaskedNumbers(values=np.arange(16, dtype=np.uint64) << np.uint64(60)),
        ),
        "reserve-noise-shares": LedgerEntry(
            federation="small-fed",
            sequence=1,
            previous=b"",
            kind=EntryKind.RESERVE,
            round=3,
            id=b"i" * 32,
            freeze=b"f" * 32,
            merkle_head=b"m" * 32,
            time=GENESIS,
            mechanisms=(
                Mechanism(
                    kind="gaussian",
                    epsilon=Decimal("1.1"),
                    delta=Decimal("0.00001"),
                    sigma=1 << 15,
                    sensitivity=7000,
                    place="shares",
                    relation="zero-out",
                    unit="record",
                    shares=14,
                    numbers=21,
                ),
            ),
            final=True,
        ),
        "update-masked": Update(
            measured=measured,
            edges=EdgeTable.empty(),
            lags=(1,),
            masked=MaskedNumbers(values=np.arange(5, dtype=np.uint64) << np.uint64(60)),
        ),
        **of_openings(),
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


def of_openings() -> dict[str, Any]:
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
