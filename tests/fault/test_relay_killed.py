"""A relay that is killed with SIGKILL loses nothing, between any two operations and within them:
what was created is synced, and what was not answered is whole or not there (R-158).
"""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hyperfed.crypto.keys import KeyPair
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.grpc_access import access_of_key
from hyperfed.storage.grpc_store import GRPCStore
from hyperfed.storage.retrying import RetryingStore
from hyperfed.storage.store import ObjectInfo
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import free_ports
from hyperfed.transport import GRPCTransport
from tests.store.relays import certificate_in

pytestmark = [pytest.mark.fault, pytest.mark.slow]
# imports once what a relay needs, and forks one for each line that it reads; it prints its id
FORKING = """
import os, signal, sys
import cryptography.x509, grpc, hyperfed.relay.server, hyperfed.relay.authority
from hyperfed.cli.app import main
for _ in sys.stdin:
    pid = os.fork()
    if not pid:
        sys.exit(main())
    print(pid, flush=True)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


class Relay:
    """`hyperfed relay serve` in a process of its own, at one address for its whole life."""

    def __init__(self, folder: Path) -> None:
        (folder / "box").mkdir()
        self.store = FilesystemStore(folder / "box")
        self.fed = SmallFederation(clients=("ann", "bob"), store=self.store)
        self.files = certificate_in(folder)
        self.address = f"127.0.0.1:{free_ports(['relay'])['relay']}"
        self.opened: list[Any] = []
        self.pid = 0
        self.starting: threading.Timer | None = None
        arguments = {
            "--folder": self.store.root,
            "--address": self.address,
            "--certificate": self.files.certificate,
            "--key": self.files.private_key,
            "--fingerprint": self.fed.fingerprint,
        }
        told = [str(text) for pair in arguments.items() for text in pair]
        self.forking = subprocess.Popen(
            [sys.executable, "-c", FORKING, "relay", "serve", *told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _read(self) -> int:
        assert self.forking.stdout is not None
        return int(self.forking.stdout.readline())

    def start(self) -> None:
        assert self.forking.stdin is not None
        self.forking.stdin.write("one more\n")
        self.forking.stdin.flush()
        self.pid = self._read()

    def end(self, number: int = signal.SIGKILL) -> int:
        """End it by a signal, and return how the system says that it ended."""
        if self.starting is not None:
            self.starting.join()
        os.kill(self.pid, number)
        return self._read()

    def close(self) -> None:
        for one in self.opened:
            one.close()
        self.end(signal.SIGTERM)
        self.forking.communicate(timeout=30)

    def killed(self) -> None:
        """Kill it, and have it started again a moment later."""
        assert self.end() == signal.SIGKILL
        starting = threading.Timer(0.1, self.start)
        starting.start()
        self.starting = starting

    def access(self, pair: KeyPair) -> dict[str, Any]:
        return {
            "access": access_of_key(pair, now=datetime.now(UTC)),
            "ca_file": self.files.certificate,
        }

    def store_of(self, pair: KeyPair) -> RetryingStore:
        inner = GRPCStore(self.address, **self.access(pair))
        self.opened.append(inner)
        return RetryingStore(inner, attempts=100, base_s=0.05, cap_s=0.2)

    def party(self, name: str) -> GRPCTransport:
        made = GRPCTransport(
            self.address, name, attempts=100, poll_s=0.05, **self.access(self.fed.keys[name])
        )
        self.opened.append(made)
        return made


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    made = Relay(tmp_path)
    made.start()
    yield made
    made.close()


def test_killed_between_any_two_operations(relay: Relay) -> None:
    store = relay.store_of(relay.fed.coordinator)
    ann, bob = relay.party("ann"), relay.party("bob")
    large = bytes(range(256)) * 12_000
    plan, result = "rounds/00000001/plan", "rounds/00000001/result"
    operations: list[tuple[Callable[[], object], object]] = [
        (lambda: store.put_if_absent(plan, b"the plan"), True),
        (lambda: store.put_if_absent(plan, b"another"), False),
        (lambda: store.read(plan, max_bytes=99), b"the plan"),
        (lambda: store.put_if_absent(result, large), True),
        (lambda: store.read(result, max_bytes=len(large)) == large, True),
        (lambda: store.head(result), ObjectInfo(key=result, size=len(large))),
        (lambda: [i.key for i in store.list("rounds/")], [plan, result]),
        (lambda: ann.send("bob", b"one"), None),
        (lambda: ann.send("bob", b"two"), None),
        (lambda: bob.receive(5), ("ann", b"one")),
        (lambda: bob.receive(5), ("ann", b"two")),
        (lambda: bob.receive(0), None),
    ]
    for operation, wanted in operations:
        relay.killed()
        assert operation() == wanted
    keys = [info.key for info in relay.store.list("")]
    assert keys == [*(f"mail/bob/ann/{n:012d}" for n in (0, 1)), "registry/000001", plan, result]


def test_killed_within_operations_it_keeps_what_it_said_and_halves_nothing(relay: Relay) -> None:
    store, rng = relay.store_of(relay.fed.coordinator), random.Random(23)
    numbers, over = itertools.count(), threading.Event()
    kept: dict[str, bytes] = {}
    asked: dict[str, bytes] = {}

    def write(_: int) -> None:
        while not over.is_set():
            number = next(numbers)
            key, data = f"ledger/{number:012d}", bytes([number % 251]) * (1 + number % 7) * 400_000
            asked[key] = data
            if store.put_if_absent(key, data):
                kept[key] = data
            else:  # an answer that was lost with the relay: it must be ours
                assert store.read(key, max_bytes=len(data)) == data
                kept[key] = data

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, number) for number in range(3)]
        for _ in range(5):
            time.sleep(rng.uniform(0.8, 1.3))
            relay.killed()
        time.sleep(1.0)
        over.set()
        for writer in writers:
            writer.result(30)
    assert len(kept) > 10
    assert {key: relay.store.read(key, max_bytes=1 << 22) for key in kept} == kept
    for info in relay.store.list("ledger/"):
        assert relay.store.read(info.key, max_bytes=1 << 22) == asked[info.key]
    assert not [*(relay.store.root / ".incoming").glob("*")]


def test_sigterm_ends_it_in_good_order(relay: Relay) -> None:
    store = relay.store_of(relay.fed.coordinator)
    assert store.put_if_absent("ledger/000000000001", b"x")
    assert relay.end(signal.SIGTERM) == 0
    relay.start()
    assert store.read("ledger/000000000001", max_bytes=9) == b"x"
