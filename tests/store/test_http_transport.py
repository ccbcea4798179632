"""`HTTPTransport`: mail over presigned URLs, for parties that can neither list nor sign."""

from collections.abc import Callable
from typing import Any

import pytest

from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import AccessDenied, ConfigError
from hyperfed.links.issuing import LinkIssuer, MailBox
from hyperfed.links.link_table import LinkTable
from hyperfed.storage.s3 import S3Credentials, S3Store
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.transport_suite import TransportSuite
from hyperfed.transport import HTTPTransport, StoreTransport, Transport
from tests.store.opened_links import links_of

MOTO = S3Credentials(access_key="moto", secret_key="moto")


class Mail:
    """ann and bob with URLs for their mail, and bob's colleague who has credentials."""

    def __init__(self, signer: S3Store, *, count: int = 8) -> None:
        self.fed = SmallFederation(clients=("ann", "bob", "eve"), store=signer)
        issuer = LinkIssuer(
            store=signer,
            reader=DropBoxReader(signer, fingerprint=self.fed.fingerprint),
            key_pair=self.fed.coordinator,
            round_id=1,
            now=self.fed.opens(1),
            mail=MailBox(prefix="mail/1", peers=("ann", "bob", "eve", "coordinator"), count=count),
        )
        self.links = {c: links_of(self.fed, issuer, c) for c in self.fed.clients}
        self.signer = signer

    def party(self, name: str, **options: Any) -> HTTPTransport:
        return HTTPTransport(
            LinkTable(self.links.get(name, self.links["ann"]), now=lambda: self.fed.opens(1)),
            name,
            prefix="mail/1",
            poll_s=0.01,
            **options,
        )


@pytest.fixture
def mail(moto_endpoint: str, new_prefix: Callable[[], str]) -> Mail:
    return Mail(S3Store("suite", prefix=new_prefix(), endpoint_url=moto_endpoint, credentials=MOTO))


class TestHTTPTransport(TransportSuite):
    @pytest.fixture(autouse=True)
    def _place(self, moto_endpoint: str, new_prefix: Callable[[], str]) -> None:
        self.mail = Mail(
            S3Store("suite", prefix=new_prefix(), endpoint_url=moto_endpoint, credentials=MOTO),
            count=12,
        )

    def connect(self, name: str) -> Transport:
        return self.mail.party(name)


def test_a_party_with_urls_and_one_with_credentials_understand_each_other(
    mail: Mail, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = mail.party("ann"), mail.party("bob")
    assert bob.receive(0) is None
    for text in (b"one", b"two", b"two", b"three"):
        ann.send("bob", text)
    coordinator = StoreTransport(mail.signer, "coordinator", prefix="mail/1")
    coordinator.send("bob", b"from one with credentials")
    assert [bob.receive(0) for _ in range(5)] == [
        ("ann", b"one"),
        ("ann", b"two"),
        ("ann", b"three"),
        ("coordinator", b"from one with credentials"),
        None,
    ]
    looked: list[str] = []
    head = bob._store.head
    monkeypatch.setattr(bob._store, "head", lambda key: (looked.append(key), head(key))[1])
    assert bob.receive(0) is None
    assert len(looked) == 4, "one look for each sender, not one for each URL"
    bob.send("coordinator", b"answer")
    assert coordinator.receive(0) == ("bob", b"answer")
    assert ann.receive(0) is None


def test_a_restarted_party_goes_on_where_it_stopped(mail: Mail) -> None:
    mail.party("ann").send("bob", b"one")
    mail.party("ann").send("bob", b"two")
    first = mail.party("bob")
    assert first.receive(0) == ("ann", b"one")
    again = mail.party("bob", cursor=first.cursor)
    assert again.receive(0) == ("ann", b"two")
    mail.party("ann").send("bob", b"three")
    assert again.receive(1) == ("ann", b"three")


def test_what_the_urls_do_not_reach_is_said(mail: Mail, new_prefix: Callable[[], str]) -> None:
    few = Mail(
        S3Store(
            "suite", prefix=new_prefix(), endpoint_url=mail.signer.endpoint_url, credentials=MOTO
        ),
        count=2,
    )
    ann = few.party("ann")
    ann.send("bob", b"one")
    ann.send("bob", b"two")
    with pytest.raises(AccessDenied, match="do not let this client write"):
        ann.send("bob", b"three")
    with pytest.raises(AccessDenied):
        ann.send("carol", b"whom nobody gave a URL for")
    with pytest.raises(ConfigError):
        ann.send("../bob", b"")
    bob = few.party("bob")
    assert [bob.receive(0) for _ in range(3)] == [("ann", b"one"), ("ann", b"two"), None]
