"""The drop-box over presigned URLs: the conformance suite on moto, the answers of a scripted
server, and, against SeaweedFS only, what a URL does not let.
"""

import socket
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from hyperfed.errors import (
    AccessDenied,
    ConfigError,
    ObjectNotFound,
    ObjectTooLarge,
    StoreUnsuitable,
    TransientError,
    TransportError,
)
from hyperfed.links.presigned_store import HTTPLimits, PresignedStore
from hyperfed.storage.s3 import S3Credentials, S3Store
from hyperfed.storage.store import ObjectStore
from hyperfed.testing.store_suite import StoreSuite
from tests.store.opened_links import OneLink
from tests.store.scripted_server import PAGE, ScriptedServer, error

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
        return PresignedStore(
            EveryLink(
                S3Store(
                    "suite", prefix=self.new_prefix(), endpoint_url=self.endpoint, credentials=MOTO
                )
            )
        )


# Answers


def store_at(server: ScriptedServer, **options: Any) -> PresignedStore:
    return PresignedStore(
        OneLink(f"{server.url}/bucket/a/k?X-Amz-Signature=very-secret-text"),
        limits=QUICK,
        sleep=lambda _: None,
        **options,
    )


def test_a_put_carries_its_condition_and_nothing_that_was_not_signed(
    scripted: ScriptedServer,
) -> None:
    scripted.answers = [(200, {}, b"")]
    assert store_at(scripted).put_if_absent("a/k", memoryview(b"-data-")[1:5]) is True
    method, path, headers = scripted.requests[0]
    assert (method, path, headers["if-none-match"]) == (
        "PUT",
        "/bucket/a/k?X-Amz-Signature=very-secret-text",
        "*",
    )
    assert headers["content-length"] == "4"
    assert headers["content-md5"] == "jXd/OF09/siBXSD3SWAm3A=="
    assert not {"authorization", "content-type", "x-amz-content-sha256"} & set(headers)


def test_412_is_false_and_409_is_tried_again(scripted: ScriptedServer) -> None:
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
        (
            (
                403,
                {},
                b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
            ),
            AccessDenied,
            "the link has expired",
        ),
        (error(400, "ExpiredToken"), AccessDenied, "the link has expired"),
        (error(403, "SignatureDoesNotMatch"), AccessDenied, "hyperfed links issue"),
        (error(403, "AccessDenied"), AccessDenied, "hyperfed links issue"),
        ((401, {}, b""), AccessDenied, "refuses the link"),
        (error(404, "NoSuchBucket"), TransportError, "bucket is gone"),
        (error(500, "InternalError"), TransientError, "InternalError"),
        (error(503, "SlowDown"), TransientError, "SlowDown"),
        (error(429, "TooManyRequests"), TransientError, "TooManyRequests"),
        (error(501, "NotImplemented"), StoreUnsuitable, "does not implement"),
        (error(400, "EntityTooLarge"), TransportError, "EntityTooLarge"),
        (
            (302, {"Location": "http://127.0.0.1:9/elsewhere"}, b""),
            TransportError,
            "is not followed",
        ),
        ((502, {}, b"<html>a proxy's page</html>" * 1000), TransientError, "502"),
        ((200, {"Content-Type": "text/html"}, PAGE), TransportError, "no object store answers"),
        ((407, {}, b""), AccessDenied, "HTTPS_PROXY"),
    ],
)
def test_every_answer_becomes_one_of_our_errors(
    scripted: ScriptedServer,
    answer: Any,
    kind: type[TransportError],
    says: str,
) -> None:
    scripted.answers = [answer]
    store = store_at(scripted)
    for call in (
        lambda: store.put_if_absent("a/k", b"x"),
        lambda: store.read("a/k", max_bytes=9),
        lambda: store.head("a/k"),
        lambda: store.list("a/"),
    ):
        with pytest.raises(TransportError) as caught:
            call()
        assert type(caught.value) is kind
        text = str(caught.value)
        assert says in text
        assert f"a/k at {urlsplit(scripted.url).netloc}" in text
        assert "very-secret-text" not in text
    assert len(scripted.requests) == 4, "redirects are not followed, refusals not repeated"


def test_a_missing_object_is_not_found(scripted: ScriptedServer) -> None:
    for answer in (error(404, "NoSuchKey"), (404, {}, b"")):
        scripted.answers = [answer]
        assert store_at(scripted).head("a/k") is None
        assert list(store_at(scripted).list("a/")) == []
        with pytest.raises(ObjectNotFound):
            store_at(scripted).read("a/k", max_bytes=1)


def test_no_more_than_the_cap_is_asked_for_or_taken(scripted: ScriptedServer) -> None:
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
        store = PresignedStore(
            OneLink(f"http://127.0.0.1:{listening.getsockname()[1]}/a/k"), limits=QUICK
        )
        with pytest.raises(ObjectTooLarge, match="more than 1000"):
            store.read("a/k", max_bytes=1000)
        thread.join(10)
        assert not thread.is_alive(), "the connection was closed"
        assert sent < 1 << 28


@pytest.mark.parametrize(
    ("headers", "body"),
    [({"Content-Length": "9"}, b"cut"), ({"Content-Range": "bytes 0-3/9"}, b"data")],
)
def test_an_answer_that_ends_early_is_transient(
    scripted: ScriptedServer,
    headers: dict[str, str],
    body: bytes,
) -> None:
    scripted.answers = [(206, headers, body)]
    with pytest.raises(TransientError):
        store_at(scripted).read("a/k", max_bytes=100)


def test_no_way_there_is_transient_and_names_the_host() -> None:
    with socket.socket() as held:  # bound, not listening: refused at once
        held.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{held.getsockname()[1]}"
        store = PresignedStore(OneLink(f"http://{host}/a/k?secret"), limits=QUICK)
        for call in (
            lambda: store.put_if_absent("a/k", b"x"),
            lambda: store.read("a/k", max_bytes=1),
            lambda: store.head("a/k"),
        ):
            with pytest.raises(TransientError, match="cannot be reached") as caught:
                call()
            assert host in str(caught.value)
            assert "secret" not in str(caught.value)
        held.listen()
        silent = PresignedStore(
            OneLink(f"http://{host}/a/k"), limits=HTTPLimits(read_timeout_s=0.2)
        )
        with pytest.raises(TransientError, match="may have been carried out"):
            silent.put_if_absent("a/k", b"x")


def test_a_certificate_that_nobody_vouches_for_is_not_tried_again(scripted: ScriptedServer) -> None:
    scripted.answers = [(200, {}, b"")]
    # speaks no TLS at all
    store = PresignedStore(OneLink(scripted.url.replace("http:", "https:") + "/a/k"), limits=QUICK)
    with pytest.raises(TransportError, match="spoken to safely") as caught:
        store.read("a/k", max_bytes=1)
    assert not isinstance(caught.value, TransientError)
    assert scripted.requests == []


def test_requests_go_through_the_proxy_of_the_environment(
    scripted: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
    links = EveryLink(
        S3Store("suite", prefix=new_prefix(), endpoint_url=moto_endpoint, credentials=MOTO)
    )
    store = PresignedStore(links)
    assert store.put_if_absent("k", b"x")
    for _ in range(5):
        assert store.read("k", max_bytes=9) == b"x"
        with pytest.raises(ObjectNotFound):
            store.read("missing", max_bytes=9)
        assert store.put_if_absent("k", b"y") is False
    (pool,) = store._http._pools.values()
    (connections,) = [pool.pools[key] for key in pool.pools.keys()]  # noqa: SIM118 - no mapping
    assert connections.num_connections <= 3, (
        f"{connections.num_connections} connections for 16 requests"
    )
    store.close()
    assert store.read("k", max_bytes=9) == b"x"


@pytest.mark.parametrize("bad", [{"connect_timeout_s": 0}, {"read_timeout_s": -1}, {"threads": 0}])
def test_limits_that_cannot_work_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        HTTPLimits(**bad)  # type: ignore[arg-type]
