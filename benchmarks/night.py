"""A night: N clients of E edges each, collected, verified, decoded, merged and signed. Where the
time goes, stage by stage.

    python benchmarks/night.py [--clients 1000] [--edges 10000] [--store memory|folder|s3] \\
        [--made FOLDER] [--profile FILE]

1. Every client is honest, sealed and signed, and found most of one true graph; its effects,
   confidence and stability are its own. Updates are float32, zstd.
2. Only the coordinator's work is timed: `RoundRunner`'s stages in their order, each with the wall
   clock and the CPU time of this process beside it.
3. s3 is a SeaweedFS of this machine, on the same cores. Requests are counted. folder is one of
   TMPDIR: nothing of the store is in this process's memory.
4. The clients submit in a process of their own, which ends before the night begins. This one has
   the coordinator's key, and neither the clients' keys nor the registry, before the night reads it.
   The peak is that of this process (VmHWM after a reset), whole and less what it held before the
   night began: Python, the libraries, and with the store "memory" what lies in the store. The round
   starts no other process.
5. FOLDER keeps what the clients have submitted, for the next night of the same size: making 100,000
   updates takes longer than their night.
"""

import argparse
import cProfile
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from hyperfed.codec import PayloadCodec
from hyperfed.crypto.envelope import Header, PacketType, sign_envelope
from hyperfed.crypto.sealing import seal_body
from hyperfed.packets import PolicyPack, Update
from hyperfed.protocol.digests import policy_digest
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import ClientRecord, KeyRecord
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.store import ObjectStore
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation, key_of
from hyperfed.testing.seaweedfs import SeaweedFS

SAMPLES = 5000
FIRST_VERSION = 40_000  # clients; a registry's first version cannot hold more (docs/scale.md)


def true_graph(rng: np.random.Generator, edges: int, variables: int) -> tuple[Any, Any]:
    """(keys in variables x variables x 2 lags, effects) of what there is to be found: a quarter
    more than one client reports.
    """
    keys = np.sort(rng.choice(variables * variables * 2, int(edges * 1.25), replace=False))
    return keys, rng.normal(0, 0.4, len(keys))


def update_of(
    rng: np.random.Generator, keys: Any, effects: Any, edges: int, variables: int
) -> Update:
    """What one client found of it."""
    found = np.sort(rng.choice(len(keys), edges, replace=False))
    key, rows = keys[found], len(found)
    reach = 1.96 * (0.03 + 0.02 * rng.random(rows))
    effect = effects[found] + rng.normal(0, 0.03, rows)
    table = EdgeTable(
        source=(key // (2 * variables)).astype(np.uint32),
        target=(key // 2 % variables).astype(np.uint32),
        lag=(key % 2 + 1).astype(np.uint16),
        effect=effect.astype(np.float32),
        ci_low=(effect - reach).astype(np.float32),
        ci_high=(effect + reach).astype(np.float32),
        confidence=rng.beta(5, 1, rows).astype(np.float32),
        stability=(0.1 + 0.9 * rng.beta(4, 2, rows)).astype(np.float32),
        hits=rng.poisson(20, rows).astype(np.uint32),
        n=np.full(rows, SAMPLES, np.uint64),
    )
    return Update(measured=np.arange(variables, dtype=np.uint32), edges=table)


def federation_in(
    store: ObjectStore, clients: int, edges: int, *, staleness: int = 3
) -> SmallFederation:
    """The federation of these numbers: the same one in every process, whoever publishes its
    registry first.
    """
    ids = ids_of(clients)
    fed = SmallFederation(
        clients=ids[:FIRST_VERSION],
        store=store,
        policy=PolicyPack(n_proposals=max(100_000, edges), max_staleness=staleness),
        vocabulary=Vocabulary.of(*(f"v{i}" for i in range(_variables(edges)))),
    )
    if rest := ids[FIRST_VERSION:]:
        fed.clients = ids
        fed.keys |= {client: key_of(f"small-fed/{client}") for client in rest}
        records = (
            ClientRecord(
                client_id=client,
                organisation=f"{client} ltd",
                keys=(KeyRecord(keys=fed.keys[client].public),),
            )
            for client in rest
        )
        fed.amend(clients=(*fed.registry.clients, *records))
    return fed


def ids_of(clients: int) -> tuple[str, ...]:
    """Return the ids of so many clients, ascending."""
    return tuple(f"site-{i:05d}" for i in range(clients))


def _variables(edges: int) -> int:
    return max(50, int(np.sqrt(edges * 2)))


def coordinators_view(store: ObjectStore, clients: int, edges: int) -> SmallFederation:
    """Return the federation as its coordinator knows it beforehand: without the clients' keys."""
    fed = federation_in(MemoryStore(), 1, edges)
    fed.store, fed.clients = store, ids_of(clients)
    return fed


def submitted_elsewhere(folder: str, clients: int, edges: int) -> None:
    """Let the clients submit into a folder for round 1, from a process that ends."""
    process = multiprocessing.get_context("spawn").Process(
        target=_submit_into, args=(folder, clients, edges)
    )
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"the clients' process ended with {process.exitcode}")


def _submit_into(folder: str, clients: int, edges: int) -> None:
    make_federation(FilesystemStore(folder), clients, edges)


def make_federation(
    store: ObjectStore, clients: int, edges: int, *, round_id: int = 1, staleness: int = 3
) -> SmallFederation:
    """A federation whose clients have all submitted for round 1."""
    fed = federation_in(store, clients, edges, staleness=staleness)
    fed.open(round_id)
    variables = _variables(edges)
    plan, rng = fed.plan(round_id), np.random.default_rng(7)
    keys, effects = true_graph(rng, edges, variables)
    policy, recipients, created = (
        policy_digest(plan.policy),
        fed.registry.sealing_keys(round_id),
        fed.opens(round_id) + timedelta(hours=1),
    )
    for client in fed.clients:
        body = PayloadCodec(compression="zstd").encode(
            update_of(rng, keys, effects, edges, variables)
        )
        header = Header(
            federation=plan.federation,
            round=round_id,
            sender=client,
            key_id=fed.keys[client].key_id,
            audience="coordinator",
            sequence=1,
            nonce=os.urandom(16),
            created=created,
            expires=created + timedelta(days=7),
            policy=policy,
            vocabulary=plan.vocabulary.digest,
        )
        header, body = seal_body(header, body, recipients)
        store.put_if_absent(
            Keys.inbox(round_id, client, 0),
            sign_envelope(PacketType.UPDATE, header, body, [fed.keys[client]]),
        )
    return fed


class Counted(ObjectStore):
    """A store whose calls are counted by name; `read_many` counts each object."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner, self.calls, self.bytes_read = inner, Counter[str](), 0

    @property
    def at_once(self) -> int:
        return self.inner.at_once

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        self.calls["put"] += 1
        return self.inner.put_if_absent(key, data)

    def read(self, key: str, *, max_bytes: int) -> bytes:
        self.calls["get"] += 1
        data = self.inner.read(key, max_bytes=max_bytes)
        self.bytes_read += len(data)
        return data

    def create_once(self, key: str, data: bytes | memoryview) -> bool:
        self.calls["put"] += 1
        return self.inner.create_once(key, data)

    def head(self, key: str) -> Any:
        self.calls["head"] += 1
        return self.inner.head(key)

    def list(self, prefix: str) -> Iterator[Any]:
        found = list(self.inner.list(prefix))
        self.calls["list pages"] += max(1, -(-len(found) // 1000))
        return iter(found)

    def put_many(self, objects: Any) -> Iterator[Any]:
        for answer in self.inner.put_many(objects):
            self.calls["put"] += 1
            yield answer

    def read_many(self, keys: Any, *, max_bytes: int) -> Iterator[Any]:
        for key, data in self.inner.read_many(keys, max_bytes=max_bytes):
            self.calls["get"] += 1
            self.bytes_read += len(data) if isinstance(data, bytes) else 0
            yield key, data


@contextmanager
def open_bench_store(kind: str) -> Iterator[ObjectStore]:
    if kind == "memory":
        yield MemoryStore()
        return
    if kind == "folder":
        with tempfile.TemporaryDirectory() as folder:
            yield FilesystemStore(folder)
        return
    with SeaweedFS() as server:
        yield server.store("night")


@contextmanager
def open_night(kind: str, clients: int, edges: int, made: Path | None) -> Iterator[ObjectStore]:
    """Yield a store into which the clients have submitted.

    made: the folder where what they have submitted lies, or is to be kept.
    """
    with tempfile.TemporaryDirectory() as work, open_bench_store(kind) as store:
        folder = made or Path(work) / "made"
        if not folder.exists():
            folder.mkdir(parents=True)
            submitted_elsewhere(str(folder), clients, edges)
        if kind == "folder":  # objects are only created, so that links to the same files will do
            night = Path(work) / "night"
            shutil.copytree(folder, night, copy_function=os.link)
            yield FilesystemStore(night)
            return
        there = FilesystemStore(folder)
        for info in there.list(""):
            store.put_if_absent(info.key, there.read(info.key, max_bytes=1 << 30))
        yield store


def reset_peak() -> int:
    """Forget the peak so far; bytes resident now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)
    )
    return int(line.split()[1]) * 1024


def run_night(fed: SmallFederation, store: ObjectStore, *, round_id: int = 1) -> dict[str, Any]:
    """Seconds and CPU seconds of each stage, requests, and the peak of memory above where it
    began.
    """
    counted = Counted(store)
    before = reset_peak()
    runner = fed.runner(round_id, store=counted)
    stages: list[tuple[str, float, float, dict[str, int]]] = []
    state: dict[str, Any] = {}
    resident: list[tuple[int, int]] = []  # after each stage, and the peak until then

    def timed(name: str, work: Any) -> None:
        counted.calls.clear()
        began, cpu = time.perf_counter(), time.process_time()
        state[name] = work()
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        stages.append((name, seconds, cpu_seconds, dict(counted.calls)))
        resident.append((_status("VmRSS"), _status("VmHWM")))

    timed("collect", lambda: runner.collect(round_id))
    timed("validate", lambda: runner.validate(state["collect"]))
    timed("freeze", lambda: runner.freeze(round_id, state["validate"]))
    timed("reserve", lambda: runner.reserve(round_id))
    timed("release", lambda: runner.release(round_id))
    timed("conclude", lambda: runner.conclude(round_id))
    assert state["conclude"].counted == len(fed.clients), state["conclude"]
    peak = _status("VmHWM")
    return {
        "clients": len(fed.clients),
        "seconds": sum(s for _, s, _, _ in stages),
        "cpu_seconds": sum(c for _, _, c, _ in stages),
        "peak_bytes": peak - before,
        "peak_resident": peak,
        "bytes_read": counted.bytes_read,
        "stages": [
            {
                "stage": n,
                "seconds": s,
                "cpu_seconds": c,
                "requests": r,
                "resident": now,
                "peak_until": most,
            }
            for (n, s, c, r), (now, most) in zip(stages, resident, strict=True)
        ],
    }


def show(result: dict[str, Any]) -> None:
    for stage in result["stages"]:
        requests = ", ".join(f"{count} {name}" for name, count in sorted(stage["requests"].items()))
        print(
            f"{stage['stage']:<10} {stage['seconds']:8.2f} s {stage['cpu_seconds']:8.2f} s CPU  "
            f"{stage['resident'] / 1e6:6.0f} MB, peak {stage['peak_until'] / 1e6:6.0f}   {requests}"
        )
    print(
        f"{'night':<10} {result['seconds']:8.2f} s {result['cpu_seconds']:8.2f} s CPU   peak "
        f"{result['peak_resident'] / 1e6:.0f} MB, {result['peak_bytes'] / 1e6:.0f} above the start"
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--edges", type=int, default=10_000)
    parser.add_argument("--store", choices=("memory", "folder", "s3"), default="memory")
    parser.add_argument("--made", type=Path)
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    began = time.perf_counter()
    with open_night(given.store, given.clients, given.edges, given.made) as store:
        fed = coordinators_view(store, given.clients, given.edges)
        print(
            f"{given.clients} clients submitted {given.edges} edges each in "
            f"{time.perf_counter() - began:.1f} s, store {given.store}",
            flush=True,
        )
        if given.profile:
            with cProfile.Profile() as profile:
                result = run_night(fed, store)
            profile.dump_stats(given.profile)
        else:
            result = run_night(fed, store)
    show(result | {"store": given.store})
    if given.json:
        given.json.write_text(
            json.dumps(
                result
                | {
                    "store": given.store,
                    "edges": given.edges,
                    "max_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                }
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
