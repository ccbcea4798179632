"""The drop-box over presigned URLs: the conformance suite on moto, the answers of a scripted server, and, against SeaweedFS only, what a URL does not let."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from hyperfed.adapters.http import HTTPLimits, HTTPTransport, LinkTable, PresignedStore
from hyperfed.adapters.s3 import S3Credentials, S3Store
from hyperfed.coordinator.links import LinkIssuer, MailBox
from hyperfed.dropbox import DropBoxReader
from hyperfed.errors import AccessDenied, ConfigError, ObjectNotFound, ObjectTooLarge, StoreUnsuitable, TransientError, TransportError
from hyperfed.protocol.links import Links, open_links
from hyperfed.rounds import Keys
from hyperfed.store import ObjectStore
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import SeaweedFS
from hyperfed.testing.store_suite import StoreSuite
from hyperfed.testing.transport_suite import TransportSuite
from hyperfed.transport import StoreTransport, Transport
from tests.store.test_s3 import ScriptedServer, error, http, scripted  # noqa: F401 - scripted is a fixture

MOTO = S3Credentials(access_key="moto", secret_key="moto")
QUICK = HTTPLimits(connect_timeout_s=1, read_timeout_s=1)


class EveryLink:
    """A URL for whatever key is asked for: as if all of them had been issued."""

    def __init__(self, signer: S3Store, *, expires_s: int = 600) -> None:
        self.signer, self.expires_s = signer, expires_s

    def url(self, method: str, key: str) -> str:
        make = self.signer.presign_get if method == "GET" else self.signer.presign_put_if_absent
        return make(key, expires_s=self.expires_s)

    def readable(self, prefix: str) -> list[str]:
        return [info.key for info in self.signer.list(prefix)]


class TestPresignedOnMoto(StoreSuite):
    many = 40
    races = 2

    @pytest.fixture(autouse=True)
    def _place(self, moto_endpoint: str, new_prefix: Callable[[], str]) -> None:
        self.endpoint, self.new_prefix = moto_endpoint, new_prefix

    def make_store(self) -> ObjectStore:
        return PresignedStore(EveryLink(S3Store("suite", prefix=self.new_prefix(), endpoint_url=self.endpoint, credentials=MOTO)))


# Answers


class OneLink:
    """The same URL for everything."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self, method: str, key: str) -> str:
        return self._url

    def readable(self, prefix: str) -> list[str]:
        return ["a/k"]


def store_at(server: ScriptedServer, **options: Any) -> PresignedStore:
    return PresignedStore(OneLink(f"{server.url}/bucket/a/k?X-Amz-Signature=very-secret-text"), limits=QUICK, sleep=lambda _: None, **options)


def test_a_put_carries_its_condition_and_nothing_that_was_not_signed(scripted: ScriptedServer) -> None:  # noqa: F811
    scripted.answers = [(200, {}, b"")]
    assert store_at(scripted).put_if_absent("a/k", memoryview(b"-data-")[1:5]) is True
    method, path, headers = scripted.requests[0]
    assert (method, path, headers["if-none-match"]) == ("PUT", "/bucket/a/k?X-Amz-Signature=very-secret-text", "*")
    assert headers["content-length"] == "4"
    assert not {"authorization", "content-type", "x-amz-content-sha256"} & set(headers)


def test_412_is_false_and_409_is_tried_again(scripted: ScriptedServer) -> None:  # noqa: F811
    scripted.answers = [error(412, "PreconditionFailed")]
    assert store_at(scripted).put_if_absent("a/k", b"x") is False
    scripted.answers = [error(409, "ConditionalRequestConflict")] * 2 + [(200, {}, b"")]
    assert store_at(scripted).put_if_absent("a/k", b"x") is True
    scripted.answers = [error(409, "ConditionalRequestConflict")]
    with pytest.raises(TransientError, match="409"):
        store_at(scripted).put_if_absent("a/k", b"x")


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        ((403, {}, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"), AccessDenied, "the link has expired"),
        (error(400, "ExpiredToken"), AccessDenied, "the link has expired"),
        (error(403, "SignatureDoesNotMatch"), AccessDenied, "hyperfed links issue"),
        (error(403, "AccessDenied"), AccessDenied, "hyperfed links issue"),
        ((401, {}, b""), AccessDenied, "refuses the link"),
        (error(404, "NoSuchBucket"), TransportError, "bucket is gone"),
        (error(500, "InternalError"), TransientError, "InternalError"),
        (error(503, "SlowDown"), TransientError, "SlowDown"),
        (error(429, "TooManyRequests"), TransientError, "TooManyRequests"),
        (error(501, "NotImplemented"), StoreUnsuitable, "conditional writes"),
        (error(400, "EntityTooLarge"), TransportError, "EntityTooLarge"),
        ((302, {"Location": "http://127.0.0.1:9/elsewhere"}, b""), TransportError, "is not followed"),
        ((502, {}, b"<html>a proxy's page</html>" * 1000), TransientError, "502"),
    ],
)
def test_every_answer_becomes_one_of_our_errors(scripted: ScriptedServer, answer: Any, kind: type[TransportError], says: str) -> None:  # noqa: F811
    scripted.answers = [answer]
    store = store_at(scripted)
    for call in (lambda: store.put_if_absent("a/k", b"x"), lambda: store.read("a/k", max_bytes=9), lambda: store.head("a/k"), lambda: store.list("a/")):
        with pytest.raises(TransportError) as caught:
            call()
        assert type(caught.value) is kind
        text = str(caught.value)
        assert says in text
        assert f"a/k at {urlsplit(scripted.url).netloc}" in text
        assert "very-secret-text" not in text
    assert len(scripted.requests) == 4, "redirects are not followed, refusals not repeated"


def test_a_missing_object_is_not_found(scripted: ScriptedServer) -> None:  # noqa: F811
    for answer in (error(404, "NoSuchKey"), (404, {}, b"")):
        scripted.answers = [answer]
        assert store_at(scripted).head("a/k") is None
        assert list(store_at(scripted).list("a/")) == []
        with pytest.raises(ObjectNotFound):
            store_at(scripted).read("a/k", max_bytes=1)


def test_no_more_than_the_cap_is_asked_for_or_taken(scripted: ScriptedServer) -> None:  # noqa: F811
    scripted.answers = [(206, {"Content-Range": "bytes 0-3/4"}, b"data")]
    assert store_at(scripted).read("a/k", max_bytes=1000) == b"data"
    assert scripted.requests[0][2]["range"] == "bytes=0-1000"
    scripted.answers = [(206, {"Content-Range": "bytes 0-100/5000"}, b"x" * 101)]
    with pytest.raises(ObjectTooLarge, match="5000 bytes; at most 100"):
        store_at(scripted).read("a/k", max_bytes=100)
    scripted.answers = [(200, {}, b"x" * 5000)]
    with pytest.raises(ObjectTooLarge, match="5000 bytes; at most 100"):
        store_at(scripted).read("a/k", max_bytes=100)
    assert store_at(scripted).read("a/k", max_bytes=5000) == b"x" * 5000


def test_an_answer_without_a_length_is_held_to_the_cap_too() -> None:
    """An endless answer: no length, bytes for as long as somebody takes them."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sent = 0

        def serve() -> None:
            nonlocal sent
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                try:
                    while sent < 1 << 28:
                        sent += connection.send(b"x" * 65536)
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        store = PresignedStore(OneLink(f"http://127.0.0.1:{listening.getsockname()[1]}/a/k"), limits=QUICK)
        with pytest.raises(ObjectTooLarge, match="more than 1000"):
            store.read("a/k", max_bytes=1000)
        thread.join(10)
        assert not thread.is_alive(), "the connection was closed"
        assert sent < 1 << 28


@pytest.mark.parametrize(("headers", "body"), [({"Content-Length": "9"}, b"cut"), ({"Content-Range": "bytes 0-3/9"}, b"data")])
def test_an_answer_that_ends_early_is_transient(scripted: ScriptedServer, headers: dict[str, str], body: bytes) -> None:  # noqa: F811
    scripted.answers = [(206, headers, body)]
    with pytest.raises(TransientError):
        store_at(scripted).read("a/k", max_bytes=100)


def test_no_way_there_is_transient_and_names_the_host() -> None:
    with socket.socket() as held:  # bound, not listening: refused at once
        held.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{held.getsockname()[1]}"
        store = PresignedStore(OneLink(f"http://{host}/a/k?secret"), limits=QUICK)
        for call in (lambda: store.put_if_absent("a/k", b"x"), lambda: store.read("a/k", max_bytes=1), lambda: store.head("a/k")):
            with pytest.raises(TransientError, match="cannot be reached") as caught:
                call()
            assert host in str(caught.value)
            assert "secret" not in str(caught.value)
        held.listen()
        silent = PresignedStore(OneLink(f"http://{host}/a/k"), limits=HTTPLimits(read_timeout_s=0.2))
        with pytest.raises(TransientError, match="may have been carried out"):
            silent.put_if_absent("a/k", b"x")


def test_a_certificate_that_nobody_vouches_for_is_not_tried_again(scripted: ScriptedServer) -> None:  # noqa: F811
    scripted.answers = [(200, {}, b"")]
    store = PresignedStore(OneLink(scripted.url.replace("http:", "https:") + "/a/k"), limits=QUICK)  # speaks no TLS at all
    with pytest.raises(TransportError, match="spoken to safely") as caught:
        store.read("a/k", max_bytes=1)
    assert not isinstance(caught.value, TransientError)
    assert scripted.requests == []


def test_requests_go_through_the_proxy_of_the_environment(scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", scripted.url.replace("http://", "http://me:p%40ss@"))
    scripted.answers = [(200, {}, b"data")]
    store = PresignedStore(OneLink("http://box.example/a/k"), limits=QUICK)
    assert store.read("a/k", max_bytes=9) == b"data"
    assert scripted.requests[0][1] == "http://box.example/a/k"
    assert scripted.requests[0][2]["proxy-authorization"] == "Basic bWU6cEBzcw=="
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert store_at(scripted).read("a/k", max_bytes=9) == b"data"
    assert scripted.requests[1][1].startswith("/bucket/")


def test_connections_are_kept(moto_endpoint: str, new_prefix: Callable[[], str]) -> None:
    links = EveryLink(S3Store("suite", prefix=new_prefix(), endpoint_url=moto_endpoint, credentials=MOTO))
    store = PresignedStore(links)
    assert store.put_if_absent("k", b"x")
    for _ in range(5):
        assert store.read("k", max_bytes=9) == b"x"
        with pytest.raises(ObjectNotFound):
            store.read("missing", max_bytes=9)
        assert store.put_if_absent("k", b"y") is False
    (pool,) = store._pools.values()
    (connections,) = [pool.pools[key] for key in pool.pools.keys()]  # noqa: SIM118 - no mapping
    assert connections.num_connections <= 3, f"{connections.num_connections} connections for 16 requests"
    store.close()
    assert store.read("k", max_bytes=9) == b"x"


@pytest.mark.parametrize("bad", [{"connect_timeout_s": 0}, {"read_timeout_s": -1}, {"threads": 0}])
def test_limits_that_cannot_work_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        HTTPLimits(**bad)  # type: ignore[arg-type]


# HTTPTransport


class Mail:
    """ann and bob with URLs for their mail, and bob's colleague who has credentials."""

    def __init__(self, signer: S3Store, *, count: int = 8) -> None:
        self.fed = SmallFederation(clients=("ann", "bob", "eve"), store=signer)
        issuer = LinkIssuer(
            store=signer,
            reader=DropBoxReader(signer, fingerprint=self.fed.fingerprint),
            keys=self.fed.coordinator,
            round_id=1,
            now=self.fed.opens(1),
            mail=MailBox(prefix="mail/1", peers=("ann", "bob", "eve", "coordinator"), count=count),
        )
        self.links = {c: links_of(self.fed, issuer, c) for c in self.fed.clients}
        self.signer = signer

    def party(self, name: str, **options: Any) -> HTTPTransport:
        return HTTPTransport(LinkTable(self.links.get(name, self.links["ann"]), now=lambda: self.fed.opens(1)), name, prefix="mail/1", poll_s=0.01, **options)


def links_of(fed: SmallFederation, issuer: LinkIssuer, client: str) -> Links:
    data = issuer.bundle(client).data
    return open_links(data, federation=fed.registry.federation, client=client, keys=fed.keys[client], coordinator_key=fed.registry.coordinator_key)


@pytest.fixture
def mail(moto_endpoint: str, new_prefix: Callable[[], str]) -> Mail:
    return Mail(S3Store("suite", prefix=new_prefix(), endpoint_url=moto_endpoint, credentials=MOTO))


class TestHTTPTransport(TransportSuite):
    @pytest.fixture(autouse=True)
    def _place(self, moto_endpoint: str, new_prefix: Callable[[], str]) -> None:
        self.mail = Mail(S3Store("suite", prefix=new_prefix(), endpoint_url=moto_endpoint, credentials=MOTO), count=12)

    def connect(self, name: str) -> Transport:
        return self.mail.party(name)


def test_a_party_with_urls_and_one_with_credentials_understand_each_other(mail: Mail, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob = mail.party("ann"), mail.party("bob")
    assert bob.receive(0) is None
    for text in (b"one", b"two", b"two", b"three"):
        ann.send("bob", text)
    coordinator = StoreTransport(mail.signer, "coordinator", prefix="mail/1")
    coordinator.send("bob", b"from one with credentials")
    assert [bob.receive(0) for _ in range(5)] == [("ann", b"one"), ("ann", b"two"), ("ann", b"three"), ("coordinator", b"from one with credentials"), None]
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
    few = Mail(S3Store("suite", prefix=new_prefix(), endpoint_url=mail.signer.endpoint_url, credentials=MOTO), count=2)
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


# SeaweedFS: what a URL does not let its holder do


class Box:
    """A federation on a real server, and site-01's links."""

    def __init__(self, server: SeaweedFS, prefix: str) -> None:
        self.signer = server.store("suite", prefix=prefix)
        self.fed = SmallFederation(store=self.signer)
        self.fed.open(1)
        self.links = self.issue()

    def issue(self, client: str = "site-01", **options: Any) -> Links:
        reader = DropBoxReader(self.signer, fingerprint=self.fed.fingerprint)
        issuer = LinkIssuer(store=self.signer, reader=reader, keys=self.fed.coordinator, round_id=1, now=datetime.now(UTC), **options)
        return links_of(self.fed, issuer, client)

    def url(self, method: str, key: str, links: Links | None = None) -> str:
        return LinkTable(links or self.links, now=lambda: datetime.now(UTC)).url(method, key)


@pytest.fixture
def box(seaweedfs: SeaweedFS, new_prefix: Callable[[], str]) -> Box:
    return Box(seaweedfs, new_prefix())


MINE = Keys.inbox(1, "site-01", 0)


@pytest.mark.seaweedfs
def test_the_probe_s_races_hold_over_urls(box: Box) -> None:
    store = PresignedStore(LinkTable(box.links, now=lambda: datetime.now(UTC)))
    start = threading.Barrier(6)

    def run(racer: int) -> bool:
        start.wait()
        return store.put_if_absent(MINE, b"%d" % racer * 100)

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(run, range(6)))
    assert sorted(told) == [False] * 5 + [True]
    assert store.read(MINE, max_bytes=100) == b"%d" % told.index(True) * 100
    assert store.put_if_absent(MINE, b"again") is False
    assert [info.key for info in store.list(Keys.inbox(1, "site-01"))] == [MINE]


CHANGES: dict[str, Callable[[str], str]] = {
    "another's folder": lambda url: url.replace("site-01", "site-02"),
    "another slot": lambda url: url.replace("/site-01/0", "/site-01/3"),
    "another round": lambda url: url.replace("inbox/00000001", "inbox/00000002"),
    "the result": lambda url: url.replace("inbox/00000001/site-01/0?", "rounds/00000001/result?"),
    "dots": lambda url: url.replace("/site-01/0?", "/site-01/../site-02/0?"),
    "escaped dots": lambda url: url.replace("/site-01/0?", "/site-01/%2e%2e/site-02/0?"),
    "a longer life": lambda url: url.replace("X-Amz-Expires=604800", "X-Amz-Expires=604801"),
    "another life": lambda url: url.replace("X-Amz-Expires=604800", "X-Amz-Expires=6048"),
    "no condition": lambda url: url.replace("X-Amz-SignedHeaders=host%3Bif-none-match", "X-Amz-SignedHeaders=host"),
    "another signature": lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"),
    "no signature": lambda url: url.partition("?")[0],
}


@pytest.mark.seaweedfs
def test_a_changed_url_writes_nothing(box: Box) -> None:
    before, honest = box.fed.objects(), box.url("PUT", MINE)
    for name, change in CHANGES.items():
        assert change(honest) != honest, name
        with pytest.raises(TransportError) as caught:
            PresignedStore(OneLink(change(honest))).put_if_absent(MINE, b"forged")
        assert type(caught.value) in (AccessDenied, TransportError), f"{name}: refused, and not worth another try"
        assert caught.value.remedy
        assert box.fed.objects() == before, name
    assert PresignedStore(OneLink(honest)).put_if_absent(MINE, b"honest") is True


@pytest.mark.seaweedfs
def test_a_url_is_for_one_method_and_its_condition(box: Box) -> None:
    before = box.fed.objects()
    put, plan = box.url("PUT", MINE), box.url("GET", Keys.plan(1))
    condition = {"If-None-Match": "*"}
    assert http("PUT", put, b"x")[0] == 403, "without the condition"
    assert http("PUT", put, b"x", {"If-None-Match": '"etag"'})[0] == 403, "with another one"
    assert http("DELETE", put, None, condition)[0] == 403
    assert http("GET", put, None, condition)[0] == 403
    assert http("POST", put, b"x", condition)[0] in (403, 405)
    for method in ("PUT", "DELETE", "HEAD"):
        assert http(method, plan, b"x" if method == "PUT" else None, condition)[0] == 403
    assert box.fed.objects() == before
    assert http("GET", plan)[0] == 200
    assert http("PUT", put, b"first", condition)[0] == 200
    assert http("PUT", put, b"second", condition)[0] == 412
    assert http("DELETE", put, None, condition)[0] == 403
    assert box.signer.read(MINE, max_bytes=9) == b"first"


@pytest.mark.seaweedfs
def test_a_url_that_reads_one_object_reads_no_other(box: Box) -> None:
    assert box.signer.put_if_absent(Keys.inbox(1, "site-02", 0), b"sealed to the coordinator")
    url = box.url("GET", MINE)
    for other in (Keys.inbox(1, "site-02", 0), Keys.state(1), Keys.freeze(1), Keys.plan(1)):
        with pytest.raises(AccessDenied, match="refuses the link"):
            PresignedStore(OneLink(url.replace(MINE, other))).read(other, max_bytes=1000)
    whole = urlsplit(url)
    listing = urlunsplit(whole._replace(path="/suite", query=f"list-type=2&{whole.query}"))
    assert http("GET", listing)[0] == 403


@pytest.mark.seaweedfs
def test_an_expired_url_is_refused_by_the_store_and_says_what_to_do(box: Box) -> None:
    links = box.issue(lifetime_s=1)
    time.sleep(2.2)
    before = box.fed.objects()
    forgetful = PresignedStore(LinkTable(links, now=lambda: links.issued))  # whose own clock does not notice
    for call in (lambda: forgetful.put_if_absent(MINE, b"late"), lambda: forgetful.read(Keys.plan(1), max_bytes=1000)):
        with pytest.raises(AccessDenied, match="expired") as caught:
            call()
        assert "hyperfed links issue" in caught.value.remedy
    assert box.fed.objects() == before
    with pytest.raises(AccessDenied, match="expired at"):
        PresignedStore(LinkTable(links, now=lambda: datetime.now(UTC))).read(Keys.plan(1), max_bytes=1000)
