"""Make the drop-boxes that every later version must read: `python tests/vectors/make_dropboxes.py`.

dropboxes/NAME.zip         every object of a drop-box, its key as the entry's name
dropboxes/disks/NAME.zip   the files of helpers and peers, in a folder for each stage
dropboxes/index.json       of each: the SHA-256 of its files, the keys that open it, its stages, and
                           what its rounds say

1. `plain` has an update that came late, deltas, a table whose columns travel as planes, a key that
   was rotated, a refused update and a void round. Its coordinator died after the freeze of round 4.
2. `private` has central noise. Its coordinator died after round 2 was charged, and before its noise
   was drawn.
3. `baskets` has three baskets, one of them too small, and receipts in pages. Nobody has judged
   round 2. Pages are written above `Limits.own_receipts`, 256 clients; it is 4 here, so that twelve
   clients have them.
4. `sums`, `secure`, `shares`, `effects`, `central` and `gossip` are left at every stage
   (`staged_dropboxes`).
5. Each file is of the drop-box before its last round is finished; the index also says how that
   round ended when it was.
6. Keys, clock and updates are fixed. Nonces, seals and noise are fresh, so that a drop-box is made
   once. This script never writes over one: a change of format needs a drop-box of another name
   beside these.
"""

import hashlib
import json
import runpy
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hyperfed.client import ClientSession
from hyperfed.config import Limits
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
STAGED: dict[str, Any] = runpy.run_path(
    str(Path(__file__).with_name("staged_dropboxes.py")), run_name="staged_dropboxes"
)
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


BOXES = {"plain": plain, "private": private, "baskets": baskets, **STAGED["STAGED"]}


def described(made: Any) -> dict[str, Any]:
    """What the index says of a drop-box. Its keys are everybody's: nothing that they open is
    secret.
    """
    fed, staged = made.federation, {}
    if not isinstance(made, Made):
        staged = {"helpers": list(made.helpers), "gossips": made.gossips, "stages": made.stages}
    return staged | {
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


def finished(store: ObjectStore, about: Mapping[str, Any], disks: Path | None = None) -> Stage:
    """Finish the pending round, as its coordinator and, from their disks, its helpers."""
    stage: Stage = STAGED["end"](
        store,
        about,
        disks,
        number=about["pending"],
        now=datetime.fromisoformat(about["night"]),
        limits=Limits(own_receipts=about["own_receipts"]),
    )
    return stage


def zipped(objects: Mapping[str, bytes], file: Path) -> None:
    """One file of all objects in their order, the same for the same objects."""
    with zipfile.ZipFile(file, "x") as archive:
        for key, data in objects.items():
            archive.writestr(
                zipfile.ZipInfo(key), data, compress_type=zipfile.ZIP_DEFLATED, compresslevel=9
            )


def unzipped(file: Path, objects: int | None = None) -> MemoryStore:
    """A drop-box in memory of what lies in a file, or of its first objects."""
    store = MemoryStore()
    with zipfile.ZipFile(file) as archive:
        for key in archive.namelist()[:objects]:
            store.put_if_absent(key, archive.read(key))
    return store


def stages(about: Mapping[str, Any]) -> dict[str, int]:
    """How many objects a kept drop-box has at each stage at which it was left, the first first."""
    found: dict[str, int] = about.get("stages", {"left": about["objects"]})
    return dict(sorted(found.items(), key=lambda stage: stage[1]))


def left(name: str, stage: str, about: Mapping[str, Any], disks: Path) -> MemoryStore:
    """A copy of a drop-box as it was at a stage, in memory; its disks are written to a folder."""
    file = HERE / "disks" / f"{name}.zip"
    if file.exists():
        with zipfile.ZipFile(file) as archive:
            for entry in archive.namelist():
                if entry.startswith(f"{stage}/"):
                    path = disks / entry.removeprefix(f"{stage}/")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(archive.read(entry))
    return unzipped(HERE / f"{name}.zip", stages(about)[stage])


def keep(name: str, made: Any) -> dict[str, Any]:
    """Write a drop-box down, and return its entry of the index."""
    about = described(made)
    file, disks = HERE / f"{name}.zip", HERE / "disks" / f"{name}.zip"
    if isinstance(made, Made):
        zipped(dict(sorted(made.federation.objects().items())), file)
    else:
        zipped(made.objects, file)
        if made.disks:
            disks.parent.mkdir(exist_ok=True)
            zipped(made.disks, disks)
            about["disks_sha256"] = hashlib.sha256(disks.read_bytes()).hexdigest()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with TemporaryDirectory() as folder:
        at = list(stages(about))[-1]
        store = left(name, at, about, Path(folder))
        rounds = said(store, about)
        finished(store, about, Path(folder))
        end = said(store, about)[str(about["pending"])]
        if about.get("gossips"):
            about["averages"] = STAGED["averages"](store, about, Path(folder))
    return {"sha256": digest} | about | {"rounds": rounds, "finished": end}


def main() -> None:
    index: dict[str, Any] = json.loads(INDEX.read_text()) if INDEX.exists() else {}
    for name, make in BOXES.items():
        file = HERE / f"{name}.zip"
        if name in index or file.exists():
            sys.stdout.write(f"{file}: is kept as it is\n")
            continue
        index[name] = keep(name, make())
        sys.stdout.write(f"{file}: {index[name]['objects']} objects, {file.stat().st_size} bytes\n")
    INDEX.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
