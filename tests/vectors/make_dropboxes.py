"""Make the drop-boxes that every later version must read: `python tests/vectors/make_dropboxes.py`.

dropboxes/NAME.zip     every object of a drop-box, its key as the entry's name dropboxes/index.json
of each: the SHA-256 of its file, the keys that open it, and what its rounds say

1. `plain` has an update that came late, deltas, a table whose columns travel as planes, a key that
   was rotated, a refused update and a void round. Its coordinator died after the freeze of round 4.
2. `private` has central noise. Its coordinator died after round 2 was charged, and before its noise
   was drawn.
3. `baskets` has three baskets, one of them too small, and receipts in pages. Nobody has judged
   round 2. Pages are written above `Limits.own_receipts`, 256 clients; it is 4 here, so that twelve
   clients have them.
4. Each file is of the drop-box before its last round is finished; the index also says how that
   round ended when it was.
5. Keys, clock and updates are fixed. Nonces, seals and noise are fresh, so that a drop-box is made
   once. This script never writes over one: a change of format needs a drop-box of another name
   beside these.
"""

import hashlib
import json
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from hyperfed.client import ClientSession
from hyperfed.config import Limits
from hyperfed.coordinator import RoundRunner
from hyperfed.coordinator.runner import Stage
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.packets import CausalSemanticPack, Claims, PolicyPack
from hyperfed.protocol.entries import (
    EntryKind,
)
from hyperfed.registry.registry import Budget
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.store import ObjectStore
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import DeltaTable, EdgeTable
from hyperfed.testing.federation import SmallFederation, key_of

HERE = Path(__file__).parent / "dropboxes"
INDEX = HERE / "index.json"
PAGED = Limits(own_receipts=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A drop-box with a round that its coordinator has not finished."""

    federation: SmallFederation
    pending: int


def plain() -> Made:
    fed = SmallFederation(clients=5, name="plain", auditors=1)
    fed.open(1)
    whole = replace(
        fed.update("site-01"),
        hyperedges=HyperedgeTable.build(
            sources=[[0, 1]],
            target=[3],
            lag=[1],
            effect=[0.5],
            confidence=0.5,
            stability=0.25,
            hits=3,
            n=30,
        ),
        semantic=CausalSemanticPack([(0, 1, 0.5)], [3], [{"do": "heat", "to": 1.5, "note": None}]),
        claims=Claims(clip_norm=2.0, loss=0.125),
    )
    first = fed.submit("site-01", whole)
    fed.submit("site-02", replace(fed.update("site-02"), edges=_wide()))
    fed.submit("site-03")
    fed.submit("site-04")
    fed.run(1)

    fed.submit("site-05", now=fed.night(1) + timedelta(hours=1))  # late: it counts in round 2
    fed.rotate("site-02", key_of("plain/site-02/new"), from_round=2)
    fed.open(2)
    step = DeltaTable(
        source=np.zeros(1, np.uint32),
        target=np.ones(1, np.uint32),
        lag=np.ones(1, np.uint16),
        weight_delta=np.array([0.125]),
        ci_low_delta=np.array([0.125]),
        ci_high_delta=np.array([0.125]),
        hits_delta=np.array([-1], np.int32),
    )
    fed.submit(
        "site-01",
        replace(fed.update("site-01"), edges=None, deltas=step, base=first.digest),
        round_id=2,
    )
    fed.submit("site-02", round_id=2)
    fed.submit("site-03", round_id=2)
    # signed for another policy
    fed.put(fed.envelope("site-04", round_id=2, policy=bytes(32)), "site-04", round_id=2)
    fed.run(2)

    fed.open(3)
    fed.run(3, now=fed.night(3) + timedelta(days=2))  # nobody came

    fed.open(4)
    fed.submit_all(round_id=4)
    runner = fed.runner(4)
    runner.freeze(4, runner.validate(runner.collect(4)))
    return Made(federation=fed, pending=4)


def _wide() -> EdgeTable:
    """400 edges in float32: enough for columns to be compressed."""
    row = np.arange(400)
    effect = ((row * 37 % 101 - 50) / 64).astype(np.float32)
    return EdgeTable.build(
        source=row % 4,
        target=(row // 4 + row + 1) % 4,
        lag=1 + row // 16,
        effect=effect,
        ci_low=effect - np.float32(0.25),
        ci_high=effect + np.float32(0.25),
        confidence=(row % 97 / 97).astype(np.float32),
        stability=(0.125 + row % 89 / 104).astype(np.float32),
        hits=row * 7,
        n=5000,
    )


def private() -> Made:
    policy = PolicyPack(
        privacy="central", privacy_epsilon=Decimal(90), strategy="mean", trust_min=0, max_lag=1
    )
    fed = SmallFederation(
        clients=4, name="private", policy=policy, auditors=1, budget=Budget(epsilon=Decimal(300))
    )
    fed.play(1)
    fed.open(2)
    fed.submit_all(round_id=2, but=["site-03"])
    runner = fed.runner(2)
    runner.freeze(2, runner.validate(runner.collect(2)))
    runner.reserve(2)
    return Made(federation=fed, pending=2)


def baskets() -> Made:
    policy = PolicyPack(basket_minimum=3, basket_maximum=6)
    fed = SmallFederation(clients=12, name="baskets", policy=policy, auditors=1, limits=PAGED)
    names = ["banks"] * 5 + ["plants"] * 5 + ["shops"] * 2
    fed.amend(
        clients=tuple(
            replace(record, basket=name)
            for record, name in zip(fed.registry.clients, names, strict=True)
        )
    )
    fed.play(1, but=["site-07"])
    fed.open(2)
    fed.submit_all(round_id=2, but=["site-01"])
    return Made(federation=fed, pending=2)


BOXES = {"plain": plain, "private": private, "baskets": baskets}


def described(made: Made) -> dict[str, Any]:
    """What the index says of a drop-box. Its keys are everybody's: nothing that they open is
    secret.
    """
    fed = made.federation
    return {
        "fingerprint": fed.fingerprint,
        "own_receipts": fed.limits.own_receipts,
        "coordinator": _seed(fed.coordinator),
        "auditor": _seed(fed.auditors[0]),
        "clients": {client: _seed(keys) for client, keys in fed.keys.items()},
        "pending": made.pending,
        "night": fed.night(made.pending).isoformat(),
        "objects": len(fed.objects()),
    }


def _seed(key_pair: KeyPair) -> str:
    return key_pair._seed.hex()


def said(store: ObjectStore, about: Mapping[str, Any]) -> dict[str, Any]:
    """What the ended rounds of a drop-box say: how each ended, its edges, and each client's
    receipt, opened by its client.
    """
    limits = Limits(own_receipts=about["own_receipts"])
    reader = DropBoxReader(store, fingerprint=about["fingerprint"], limits=limits)
    rounds = {}
    for entry in (chained.entry for chained in reader.ledger()):
        if entry.kind is EntryKind.RESERVE:
            continue
        result = reader.result(entry.round)
        model = (
            result.value if result is not None and isinstance(result.value, GlobalModel) else None
        )
        receipts = {}
        for client, seed in about["clients"].items():
            session = ClientSession(
                store,
                client_id=client,
                key_pair=KeyPair(bytes.fromhex(seed)),
                fingerprint=about["fingerprint"],
                limits=limits,
            )
            receipt = session.receipt(entry.round)
            receipts[client] = None if receipt is None else f"{receipt.fate} {receipt.rule}".strip()
        rounds[str(entry.round)] = {
            "end": str(entry.kind),
            "edges": [] if model is None else [_row(row) for row in model.rows()],
            "baskets": []
            if model is None
            else [
                f"{b.name or 'the rest'}: {b.clients}{', left out' * bool(b.left_out)}"
                for b in model.baskets
            ],
            "charged": ""
            if model is None or model.privacy is None
            else f"{model.privacy.epsilon}, {model.privacy.total_epsilon} in all",
            "receipts": receipts,
        }
    return rounds


def _row(row: Mapping[str, Any]) -> str:
    return f"{row['source']} -> {row['target']} after {row['lag']}: {row['effect']!r}"


def finished(store: ObjectStore, about: Mapping[str, Any]) -> Stage:
    """Finish the pending round, as its coordinator."""
    runner = RoundRunner(
        store,
        key_pair=KeyPair(bytes.fromhex(about["coordinator"])),
        now=datetime.fromisoformat(about["night"]),
        fingerprint=about["fingerprint"],
        limits=Limits(own_receipts=about["own_receipts"]),
    )
    return runner.run(about["pending"])


def zipped(objects: Mapping[str, bytes], file: Path) -> None:
    """One file of all objects, the same for the same objects."""
    with zipfile.ZipFile(file, "x") as archive:
        for key, data in sorted(objects.items()):
            archive.writestr(
                zipfile.ZipInfo(key), data, compress_type=zipfile.ZIP_DEFLATED, compresslevel=9
            )


def unzipped(file: Path) -> MemoryStore:
    """A drop-box in memory of what lies in a file."""
    store = MemoryStore()
    with zipfile.ZipFile(file) as archive:
        for key in archive.namelist():
            store.put_if_absent(key, archive.read(key))
    return store


def main() -> None:
    index: dict[str, Any] = json.loads(INDEX.read_text()) if INDEX.exists() else {}
    for name, make in BOXES.items():
        file = HERE / f"{name}.zip"
        if name in index or file.exists():
            sys.stdout.write(f"{file}: is kept as it is\n")
            continue
        made = make()
        zipped(made.federation.objects(), file)
        about = described(made)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        rounds = said(made.federation.store, about)
        finished(made.federation.store, about)
        end = said(made.federation.store, about)[str(made.pending)]
        index[name] = {"sha256": digest} | about | {"rounds": rounds, "finished": end}
        sys.stdout.write(f"{file}: {about['objects']} objects, {file.stat().st_size} bytes\n")
    INDEX.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
