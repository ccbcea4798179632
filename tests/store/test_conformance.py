"""`hyperfed.testing.store_suite` against every adapter."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.grpc_access import access_of_key
from hyperfed.storage.grpc_store import GRPCLimits, GRPCStore
from hyperfed.storage.memory import MemoryStore
from hyperfed.storage.retrying import RetryingStore
from hyperfed.storage.s3 import S3Credentials, S3Limits, S3Store
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.faults import FaultStore
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import SeaweedFS
from hyperfed.testing.store_suite import StoreSuite
from tests.store.relays import MayAnything, certificate_in, relay_before


class TestMemory(StoreSuite):
    def make_store(self) -> ObjectStore:
        return MemoryStore()


class TestFaultlessFaultStore(StoreSuite):
    """Without a plan the faulty store is a store."""

    def make_store(self) -> ObjectStore:
        return FaultStore(MemoryStore())


class TestFilesystem(StoreSuite):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.root = tmp_path

    def make_store(self) -> ObjectStore:
        return FilesystemStore(self.root)


class TestRelay(StoreSuite):
    """A relay before a folder; its callers may do anything, as a bucket's administrator may."""

    many = 150

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> Iterator[None]:
        with ExitStack() as self.ending:
            self.folder, self.count = tmp_path, itertools.count()
            yield

    def make_store(self) -> ObjectStore:
        folder = self.folder / f"box-{next(self.count)}"
        (folder / "registry").mkdir(parents=True)
        (folder / "box").mkdir()
        own, box = (FilesystemStore(folder / name) for name in ("registry", "box"))
        fed = SmallFederation(clients=1, store=own)
        certificate = certificate_in(self.folder)
        parties = MayAnything(own, fingerprint=fed.fingerprint)
        address = self.ending.enter_context(relay_before(box, parties, certificate))
        store = GRPCStore(
            address,
            access=access_of_key(fed.coordinator, now=datetime.now(UTC)),
            ca_file=certificate.certificate,
            limits=GRPCLimits(page_size=7),
        )
        self.ending.callback(store.close)
        # a relay may turn a call away under load, unread; whoever opens a store by its address
        # has it tried again
        return RetryingStore(store)


class TestMoto(StoreSuite):
    many = 60

    @pytest.fixture(autouse=True)
    def _place(self, moto_endpoint: str, new_prefix: Callable[[], str]) -> None:
        self.endpoint, self.new_prefix = moto_endpoint, new_prefix

    def make_store(self) -> ObjectStore:
        key = S3Credentials(access_key="moto", secret_key="moto")
        return S3Store(
            "suite",
            prefix=self.new_prefix(),
            endpoint_url=self.endpoint,
            credentials=key,
            limits=S3Limits(page_size=7),
        )


@pytest.mark.seaweedfs
class TestSeaweedFS(StoreSuite):
    many = 150
    races = 2  # the server lets the losers of a race wait, a second each time

    @pytest.fixture(autouse=True)
    def _place(self, seaweedfs: SeaweedFS, new_prefix: Callable[[], str]) -> None:
        self.server, self.new_prefix = seaweedfs, new_prefix

    def make_store(self) -> ObjectStore:
        return self.server.store(
            "suite", prefix=self.new_prefix(), create=False, limits=S3Limits(page_size=20)
        )
