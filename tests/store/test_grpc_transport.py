"""`GRPCTransport`: messages through a relay, each party in its own name and no other."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hyperfed.errors import AccessDenied
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.grpc_access import access_of_key
from hyperfed.testing.transport_suite import TransportSuite
from hyperfed.transport import GRPCTransport, StoreTransport, Transport
from tests.store.relays import RelayedFederation


class Post(RelayedFederation):
    """A relay whose clients are ann, bob and eve."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, clients=("ann", "bob", "eve"))
        self.parties: list[GRPCTransport] = []

    def connect(self, name: str, *, key_of: str | None = None, **options: Any) -> GRPCTransport:
        pair = self.fed.keys.get(key_of or name, self.fed.keys["ann"])
        party = GRPCTransport(
            f"127.0.0.1:{self.server.port}",
            name,
            access=access_of_key(pair, now=datetime.now(UTC)),
            ca_file=self.certificate.certificate,
            poll_s=0.01,
            **options,
        )
        self.parties.append(party)
        return party

    def close(self) -> None:
        for party in self.parties:
            party.close()
        super().close()


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    place = Post(tmp_path)
    yield place
    place.close()


class TestGRPCTransport(TransportSuite):
    @pytest.fixture(autouse=True)
    def _place(self, post: Post) -> None:
        self.post = post

    def connect(self, name: str) -> Transport:
        return self.post.connect(name)


def test_nobody_speaks_in_anothers_name_or_reads_anothers_mail(post: Post) -> None:
    eve = post.connect("bob", key_of="eve")
    with pytest.raises(AccessDenied, match="eve may not create mail/ann/bob/000000000000"):
        eve.send("ann", b"as bob")
    ann, bob = post.connect("ann"), post.connect("bob")
    ann.send("bob", b"for bob")
    with pytest.raises(AccessDenied, match="eve may not read"):
        eve.receive(0)
    assert ann.receive(0) is None
    assert bob.receive(0) == ("ann", b"for bob")


def test_one_on_the_folder_itself_and_one_at_the_relay_understand_each_other(post: Post) -> None:
    beside = StoreTransport(FilesystemStore(post.store.root), "coordinator")
    beside.send("ann", b"from the folder")
    ann = post.connect("ann")
    assert ann.receive(0) == ("coordinator", b"from the folder")
    ann.send("coordinator", b"x" * 3_000_000)
    assert beside.receive(0) == ("ann", b"x" * 3_000_000)


def test_a_restarted_party_goes_on_where_it_stopped(post: Post) -> None:
    ann = post.connect("ann")
    ann.send("bob", b"one")
    ann.send("bob", b"two")
    first = post.connect("bob")
    assert first.receive(0) == ("ann", b"one")
    again = post.connect("bob", cursor=first.cursor)
    assert [again.receive(0), again.receive(0)] == [("ann", b"two"), None]


def test_roots_exchange_no_messages(post: Post) -> None:
    root = GRPCTransport(
        f"127.0.0.1:{post.server.port}",
        "root",
        access=access_of_key(post.fed.roots[0], now=datetime.now(UTC)),
        ca_file=post.certificate.certificate,
    )
    post.parties.append(root)
    with pytest.raises(AccessDenied):
        root.send("ann", b"x")
