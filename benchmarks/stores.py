"""Requests to an S3 store side by side: Hyperfed's own, boto3's and obstore's, on SeaweedFS.

    python -m venv /tmp/stores && /tmp/stores/bin/pip install -e '.[coordinator]' boto3 obstore
    /tmp/stores/bin/python benchmarks/stores.py [--objects 1000] [--repeats 5]

1. Each candidate creates objects with `If-None-Match: *`, reads them whole and lists them, with one
   thread and with eight, on one server. They take turns, each turn begun by another one. A figure
   is the best turn; a ratio is the median of the turns' ratios.
2. CPU seconds are those of this process and all its threads, without the server's: what other work
   on the machine hardly changes. Wall seconds have the server's work on the same cores in them.
3. What each reads is compared by its bytes, so nobody is fast by leaving something out.

boto3 and obstore are no dependencies of the project (docs/adr/0027); a candidate that is not
installed is left out.
"""

import argparse
import gc
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from hyperfed.storage.s3 import S3Limits, S3Store
from hyperfed.testing.seaweedfs import SeaweedFS

BUCKET = "bench"
Work = Callable[[], Any]
_runs = itertools.count()


def ours(server: SeaweedFS, threads: int) -> Mapping[str, Callable[..., Any]]:
    store = S3Store(
        BUCKET,
        endpoint_url=server.endpoint_url,
        credentials=server.credentials(),
        limits=S3Limits(threads=threads),
    )

    def put(keys: Sequence[str], data: bytes) -> None:
        assert all(made is True for _, made in store.put_many((key, data) for key in keys))

    def get(keys: Sequence[str], size: int) -> int:
        total = 0
        for _, data in store.read_many(keys, max_bytes=size):
            assert isinstance(data, bytes)
            total += len(data)
        return total

    def entries(prefix: str) -> int:
        return len(list(store.list(prefix)))

    return {"put": put, "get": get, "list": entries}


def boto3_client(server: SeaweedFS, threads: int) -> Any:
    """Return boto3's client of S3 for a server and so many threads."""
    import boto3
    from botocore.config import Config

    key = server.credentials()
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=key.access_key,
        aws_secret_access_key=key.secret_key,
        config=Config(
            max_pool_connections=threads * 2,
            s3={"addressing_style": "path"},
            signature_version="s3v4",
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def boto3s(server: SeaweedFS, threads: int) -> Mapping[str, Callable[..., Any]]:
    client = boto3_client(server, threads)
    at_once = in_threads(threads)

    def put(keys: Sequence[str], data: bytes) -> None:
        at_once(lambda k: client.put_object(Bucket=BUCKET, Key=k, Body=data, IfNoneMatch="*"), keys)

    def get(keys: Sequence[str], size: int) -> int:
        read = at_once(lambda k: client.get_object(Bucket=BUCKET, Key=k)["Body"].read(), keys)
        return sum(map(len, read))

    def entries(prefix: str) -> int:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return sum(len(page.get("Contents", ())) for page in pages)

    return {"put": put, "get": get, "list": entries}


def obstores(server: SeaweedFS, threads: int) -> Mapping[str, Callable[..., Any]]:
    import obstore
    from obstore.store import S3Store as Obstore

    key = server.credentials()
    store = Obstore(
        BUCKET,
        endpoint=server.endpoint_url,
        region="us-east-1",
        access_key_id=key.access_key,
        secret_access_key=key.secret_key,
        client_options={"allow_http": True},
    )
    at_once = in_threads(threads)

    def put(keys: Sequence[str], data: bytes) -> None:
        at_once(lambda k: obstore.put(store, k, data, mode="create", use_multipart=False), keys)

    def get(keys: Sequence[str], size: int) -> int:
        return sum(at_once(lambda k: len(obstore.get(store, k).bytes()), keys))

    def entries(prefix: str) -> int:
        return sum(len(chunk) for chunk in obstore.list(store, prefix, chunk_size=1000))

    return {"put": put, "get": get, "list": entries}


def in_threads(threads: int) -> Callable[..., list[Any]]:
    if threads == 1:
        return lambda work, items: [work(item) for item in items]
    pool = ThreadPoolExecutor(threads)
    return lambda work, items: list(pool.map(work, items))


def turns_of(candidates: Mapping[str, Work], repeats: int) -> dict[str, list[tuple[float, float]]]:
    """CPU and wall seconds of each turn by name, without the first turn, which warms up."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    names = list(candidates)
    for turn in range(repeats + 1):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            candidates[name]()
            taken[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: turns[1:] for name, turns in taken.items()}


def said_of(turns: Mapping[str, list[tuple[float, float]]], count: int) -> str:
    """Each candidate's best CPU and wall milliseconds a request, and ours beside boto3's."""
    cells = [
        f"{name} {min(cpu for cpu, _ in taken) / count * 1e3:6.2f}"
        f" {min(wall for _, wall in taken) / count * 1e3:7.2f}"
        for name, taken in turns.items()
    ]
    if "boto3" in turns:
        pairs = list(zip(turns["hyperfed"], turns["boto3"], strict=True))
        cpu, wall = (median(mine[i] / theirs[i] for mine, theirs in pairs) for i in (0, 1))
        cells.append(f"ours/boto3 {cpu:.2f} CPU {wall:.2f} wall")
    return "   ".join(cells)


def measure(
    server: SeaweedFS, size: int, count: int, threads: int, repeats: int
) -> dict[str, Mapping[str, list[tuple[float, float]]]]:
    data = os.urandom(size)
    clients: dict[str, Mapping[str, Callable[..., Any]]] = {}
    for name, make in (("hyperfed", ours), ("boto3", boto3s), ("obstore", obstores)):
        try:
            clients[name] = make(server, threads)
        except ImportError:
            print(f"{name} is not installed and is left out")
    folder = f"size-{size}/threads-{threads}"
    keys = [f"{folder}/read/{i:05d}" for i in range(count)]
    clients["hyperfed"]["put"](keys, data)

    def put(client: Mapping[str, Callable[..., Any]]) -> None:
        run = next(_runs)
        client["put"]([f"{folder}/run-{run:04d}/{i:05d}" for i in range(count // 5)], data)

    def get(client: Mapping[str, Callable[..., Any]]) -> None:
        assert client["get"](keys, size) == size * count

    def entries(client: Mapping[str, Callable[..., Any]]) -> None:
        assert client["list"](f"{folder}/read/") == count

    return {
        kind: turns_of({name: partial(work, c) for name, c in clients.items()}, repeats)
        for kind, work in (("put", put), ("get", get), ("list", entries))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, SeaweedFS(Path(folder)) as server:
        server.store(BUCKET).close()
        print(f"load {os.getloadavg()[0]:.1f}; {given.objects} objects; CPU ms and wall ms each")
        for size, threads in ((300_000, 1), (300_000, 8), (4_000, 8)):
            found = measure(server, size, given.objects, threads, given.repeats)
            figures[f"{size} bytes, {threads} threads"] = found
            for kind, turns in found.items():
                many = {"put": given.objects // 5, "get": given.objects, "list": 1}[kind]
                print(
                    f"{size:7d} B {threads} threads  {kind:4s}  {said_of(turns, many)}", flush=True
                )
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
