"""A relay beside SeaweedFS' S3 through boto3 and a plain HTTP file server: put and get.

    .venv/bin/python benchmarks/relay.py [--objects 200] [--repeats 7] [--folder FOLDER]

1. Each candidate creates objects of 300,000 bytes and reads them whole: one after the other, and
   many at once as it does that best (the relay by streams of several, the others by eight threads).
   Every server is a process of its own on this machine. The candidates take turns, each turn begun
   by another one: a figure is the best turn, a ratio the median of the turns' ratios.
2. The relay is `hyperfed relay serve`, with TLS both ways. The HTTP server has neither TLS nor
   rights: Python's own, with connections that are kept and a GET by sendfile. Both keep the same
   promise before the same folder, by `FilesystemStore`: an object is synced before the answer.
   SeaweedFS writes to the same disk and syncs nothing.
3. CPU milliseconds are those of the caller and of the server together, of all turns: what other
   work on the machine hardly changes.
4. What each reads is compared by its bytes, so nobody is fast by leaving something out.

boto3 comes with the tests' moto.
"""

import argparse
import gc
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

from stores import boto3_client

from hyperfed.relay.certificates import make_certificate
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.grpc_access import access_of_key
from hyperfed.storage.grpc_store import GRPCStore
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import SeaweedFS, free_ports

SIZE = 300_000
BUCKET = "bench"
COMMAND = "from hyperfed.cli import main; main()"
Candidate = Mapping[str, Callable[[Sequence[str], bytes], None]]
PIDS: dict[str, int] = {}
_runs = itertools.count()


class _Files(BaseHTTPRequestHandler):
    """A plain file server: PUT creates, GET reads."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    store: FilesystemStore

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        created = self.store.put_if_absent(self.path.lstrip("/"), data)
        self.send_response(201 if created else 412)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        with (self.store.root / self.path.lstrip("/")).open("rb") as file:
            self.send_response(200)
            self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
            self.end_headers()
            self.wfile.flush()
            self.connection.sendfile(file)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def serve_files(folder: str, port: str) -> None:
    _Files.store = FilesystemStore(folder)
    ThreadingHTTPServer(("127.0.0.1", int(port)), _Files).serve_forever()


def cpu_of(pid: int) -> float:
    """The CPU seconds of this process and of a server's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return time.process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def process(*arguments: str) -> Iterator[int]:
    with subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as started:
        try:
            yield started.pid
        finally:
            started.send_signal(signal.SIGTERM)


def reached(call: Callable[[], object]) -> None:
    for _ in range(200):
        try:
            call()
            return
        except Exception:
            time.sleep(0.1)
    call()


def relays(folder: Path, ending: ExitStack) -> Callable[[int], Candidate]:
    box = folder / "relay-box"
    box.mkdir()
    fed = SmallFederation(store=FilesystemStore(box))
    certificate, key = folder / "relay.pem", folder / "relay.key"
    make_certificate(
        ["127.0.0.1"], certificate=certificate, private_key=key, now=datetime.now(UTC), days=1
    )
    address = f"127.0.0.1:{free_ports(['relay'])['relay']}"
    arguments = {
        "--folder": str(box),
        "--address": address,
        "--certificate": str(certificate),
        "--key": str(key),
        "--fingerprint": fed.fingerprint,
    }
    PIDS["relay"] = ending.enter_context(
        process(
            "-c",
            "from hyperfed.cli import main; main()",
            "relay",
            "serve",
            *itertools.chain(*arguments.items()),
        )
    )

    def make(threads: int) -> Candidate:
        store = GRPCStore(
            address,
            access=access_of_key(fed.coordinator, now=datetime.now(UTC)),
            ca_file=certificate,
        )
        reached(lambda: store.head("registry/000001"))

        def put(keys: Sequence[str], data: bytes) -> None:
            wanted = ((f"rounds/{k}", data) for k in keys)
            if threads == 1:
                created = [store.put_if_absent(*each) for each in wanted]
            else:
                created = [answer is True for _, answer in store.put_many(wanted)]
            assert all(created)

        def get(keys: Sequence[str], data: bytes) -> None:
            wanted = [f"rounds/{k}" for k in keys]
            if threads == 1:
                assert all(store.read(key, max_bytes=SIZE) == data for key in wanted)
            else:
                assert all(found == data for _, found in store.read_many(wanted, max_bytes=SIZE))

        return {"put": put, "get": get}

    return make


def boto3s(folder: Path, ending: ExitStack) -> Callable[[int], Candidate]:
    server = ending.enter_context(SeaweedFS(folder / "weed"))
    server.store(BUCKET).close()
    PIDS["boto3"] = server._running().pid

    def make(threads: int) -> Candidate:
        client = boto3_client(server, threads)
        at_once = in_threads(threads)

        def put(keys: Sequence[str], data: bytes) -> None:
            at_once(
                lambda k: client.put_object(Bucket=BUCKET, Key=k, Body=data, IfNoneMatch="*"), keys
            )

        def get(keys: Sequence[str], data: bytes) -> None:
            read = at_once(lambda k: client.get_object(Bucket=BUCKET, Key=k)["Body"].read(), keys)
            assert all(found == data for found in read)

        return {"put": put, "get": get}

    return make


def https(folder: Path, ending: ExitStack) -> Callable[[int], Candidate]:
    import urllib3

    box = folder / "http-box"
    box.mkdir()
    port = str(free_ports(["http"])["http"])
    PIDS["http"] = ending.enter_context(process(__file__, "serve-files", str(box), port))
    url = f"http://127.0.0.1:{port}"

    def make(threads: int) -> Candidate:
        pool, at_once = urllib3.PoolManager(maxsize=threads), in_threads(threads)
        reached(lambda: pool.request("PUT", f"{url}/begun-{next(_runs)}", body=b"x", retries=False))

        def put(keys: Sequence[str], data: bytes) -> None:
            done = at_once(lambda k: pool.request("PUT", f"{url}/{k}", body=data).status, keys)
            assert set(done) == {201}

        def get(keys: Sequence[str], data: bytes) -> None:
            assert all(
                found == data
                for found in at_once(lambda k: pool.request("GET", f"{url}/{k}").data, keys)
            )

        return {"put": put, "get": get}

    return make


def in_threads(threads: int) -> Callable[..., list[Any]]:
    if threads == 1:
        return lambda work, items: [work(item) for item in items]
    pool = ThreadPoolExecutor(threads)
    return lambda work, items: list(pool.map(work, items))


def turns_of(
    candidates: Mapping[str, Callable[[], None]], repeats: int
) -> dict[str, list[tuple[float, float]]]:
    """(wall, CPU) seconds of each turn by name, without the first turn, which warms up."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    names = list(candidates)
    for turn in range(repeats + 1):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            wall, cpu = time.perf_counter(), cpu_of(PIDS[name])
            candidates[name]()
            taken[name].append((time.perf_counter() - wall, cpu_of(PIDS[name]) - cpu))
    return {name: turns[1:] for name, turns in taken.items()}


def measure(makers: Mapping[str, Any], threads: int, count: int, repeats: int) -> dict[str, Any]:
    data = os.urandom(SIZE)
    made = {name: make(threads) for name, make in makers.items()}
    read = [f"{threads:08d}/accepted/{i:05d}" for i in range(count)]
    for candidate in made.values():
        candidate["put"](read, data)

    def put(candidate: Candidate) -> None:
        run = next(_runs)
        candidate["put"]([f"{run:08d}/accepted/run-{i:05d}" for i in range(count)], data)

    def get(candidate: Candidate) -> None:
        candidate["get"](read, data)

    figures: dict[str, Any] = {}
    for kind, work in (("put", put), ("get", get)):
        turns = turns_of({name: partial(work, c) for name, c in made.items()}, repeats)
        per_second = {name: round(count / min(taken)[0]) for name, taken in turns.items()}
        cpu_ms = {
            name: round(sum(cpu for _, cpu in taken) / len(taken) / count * 1e3, 2)
            for name, taken in turns.items()
        }
        ratios = {
            name: round(
                median(a[0] / b[0] for a, b in zip(turns[name], turns["relay"], strict=True)), 2
            )
            for name in turns
            if name != "relay"
        }
        figures[kind] = {
            "objects_per_s": per_second,
            "cpu_ms": cpu_ms,
            "relay_times_faster_than": ratios,
        }
        how = "one by one" if threads == 1 else "many at once"
        print(f"{how}  {kind}  {per_second}  CPU {cpu_ms}  relay is faster {ratios}", flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--objects", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where the servers' folders are made")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures: dict[str, Any] = {"when": datetime.now(UTC).isoformat(timespec="seconds")}
    with tempfile.TemporaryDirectory(dir=given.folder) as place, ExitStack() as ending:
        folder = Path(place)
        makers = {
            "relay": relays(folder, ending),
            "boto3": boto3s(folder, ending),
            "http": https(folder, ending),
        }
        figures["load"] = round(os.getloadavg()[0], 1)
        print(f"load {figures['load']}; {given.objects} objects of {SIZE} bytes; objects a second")
        for how, threads in (("one by one", 1), ("many at once", 8)):
            figures[how] = measure(makers, threads, given.objects, given.repeats)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve-files"]:
        serve_files(*sys.argv[2:])
    else:
        main()
