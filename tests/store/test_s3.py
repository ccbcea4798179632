"""S3Store's own: what the answers of a server and the errors of the way to it become. Security is asserted against SeaweedFS only."""

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from hyperfed.adapters.s3 import S3Credentials, S3Limits, S3Store
from hyperfed.errors import AccessDenied, ConfigError, ObjectNotFound, StoreUnsuitable, TransientError, TransportError
from hyperfed.testing.seaweedfs import SeaweedFS

KEY = S3Credentials(access_key="AKIDEXAMPLE", secret_key="very-secret-text")
ONE_TRY = S3Limits(max_attempts=1, connect_timeout_s=1, read_timeout_s=1)


class ScriptedServer:
    """Answers requests from a list of (status, headers, body); the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # answers Expect: 100-continue

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
                status, headers, body = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), "Connection": "close", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_HEAD = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def store(self, limits: S3Limits = ONE_TRY) -> S3Store:
        return S3Store("bucket", prefix="fed", endpoint_url=self.url, credentials=KEY, limits=limits, sleep=lambda _: None)


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    thread = threading.Thread(target=server.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.server.shutdown()
    thread.join()
    server.server.server_close()


def error(status: int, code: str) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/xml"}, f"<Error><Code>{code}</Code><Message>said the store</Message></Error>".encode()


OK = (200, {"ETag": '"x"'}, b"")


def test_a_put_asks_for_creation_only_and_signs_the_body(scripted: ScriptedServer) -> None:
    scripted.answers = [OK]
    assert scripted.store().put_if_absent("a/b", b"data") is True
    method, path, headers = scripted.requests[0]
    assert (method, path, headers["if-none-match"]) == ("PUT", "/bucket/fed/a/b", "*")
    assert "if-none-match" in headers["authorization"], "the condition is under the signature"
    assert headers["x-amz-content-sha256"] == "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"


def test_a_conflict_is_tried_again(scripted: ScriptedServer) -> None:
    scripted.answers = [error(409, "ConditionalRequestConflict")] * 3 + [OK]
    assert scripted.store().put_if_absent("k", b"x") is True
    assert len(scripted.requests) == 4


def test_a_conflict_can_end_in_exists(scripted: ScriptedServer) -> None:
    scripted.answers = [error(409, "ConditionalRequestConflict"), error(412, "PreconditionFailed")]
    assert scripted.store().put_if_absent("k", b"x") is False


def test_a_conflict_that_lasts_is_transient(scripted: ScriptedServer) -> None:
    scripted.answers = [error(409, "ConditionalRequestConflict")]
    with pytest.raises(TransientError, match="409"):
        scripted.store().put_if_absent("k", b"x")
    assert 3 <= len(scripted.requests) <= 10


def test_a_put_whose_answer_was_an_error_is_sent_again_and_may_find_itself(scripted: ScriptedServer) -> None:
    """Why False means 'read and compare': the first request may have been applied."""
    scripted.answers = [error(500, "InternalError"), error(412, "PreconditionFailed")]
    assert scripted.store(S3Limits(max_attempts=3)).put_if_absent("k", b"x") is False


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (error(403, "InvalidAccessKeyId"), AccessDenied, "Check the access key"),
        (error(403, "SignatureDoesNotMatch"), AccessDenied, "Check the secret key"),
        (error(403, "AccessDenied"), AccessDenied, "policy"),
        (error(403, "RequestTimeTooSkewed"), AccessDenied, "clock"),
        (error(400, "ExpiredToken"), AccessDenied, "session token has expired"),
        (error(404, "NoSuchBucket"), TransportError, "no bucket 'bucket'"),
        (error(400, "AuthorizationHeaderMalformed"), TransportError, "region"),
        (error(500, "InternalError"), TransientError, "InternalError"),
        (error(503, "SlowDown"), TransientError, "SlowDown"),
        (error(429, "TooManyRequests"), TransientError, "TooManyRequests"),
        (error(501, "NotImplemented"), StoreUnsuitable, "conditional writes"),
        (error(400, "EntityTooLarge"), TransportError, "said the store"),
        ((502, {}, b"<html>a proxy's page</html>"), TransientError, "502"),
    ],
)
def test_every_answer_becomes_one_of_our_errors(scripted: ScriptedServer, answer: Any, kind: type[TransportError], says: str) -> None:
    scripted.answers = [answer]
    store = scripted.store()
    calls = [lambda: store.put_if_absent("k", b"x"), lambda: store.read("k", max_bytes=9), lambda: store.head("k"), lambda: store.list("k")]
    for call in calls:
        with pytest.raises(TransportError) as caught:
            call()
        assert type(caught.value) is kind
        text = str(caught.value)
        assert says in text
        assert "s3://bucket/fed/k" in text
        assert "very-secret-text" not in text


def test_a_missing_object_and_a_missing_bucket_differ_for_head(scripted: ScriptedServer) -> None:
    scripted.answers = [error(404, "NoSuchKey")]
    assert scripted.store().head("k") is None
    with pytest.raises(ObjectNotFound):
        scripted.store().read("k", max_bytes=1)
    scripted.answers = [error(404, "NoSuchBucket")]
    with pytest.raises(TransportError, match="no bucket"):
        scripted.store().head("k")


def test_no_more_than_the_cap_is_asked_for(scripted: ScriptedServer) -> None:
    scripted.answers = [(206, {"Content-Range": "bytes 0-3/4"}, b"data")]
    assert scripted.store().read("k", max_bytes=1000) == b"data"
    assert scripted.requests[0][2]["range"] == "bytes=0-1000"


def test_a_server_that_ignores_ranges_is_still_held_to_the_cap(scripted: ScriptedServer) -> None:
    scripted.answers = [(200, {}, b"x" * 5000)]
    with pytest.raises(TransportError, match="5000 bytes; at most 100"):
        scripted.store().read("k", max_bytes=100)
    assert scripted.store().read("k", max_bytes=5000) == b"x" * 5000


@pytest.mark.parametrize(("headers", "body"), [({"Content-Length": "9"}, b"cut"), ({"Content-Range": "bytes 0-3/9"}, b"data")])
def test_an_answer_that_ends_early_is_transient(scripted: ScriptedServer, headers: dict[str, str], body: bytes) -> None:
    scripted.answers = [(206, headers, body)]
    with pytest.raises(TransientError):
        scripted.store().read("k", max_bytes=100)


def test_an_endpoint_that_cannot_be_reached_is_named() -> None:
    with socket.socket() as held:  # bound, not listening: refused at once
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        store = S3Store("bucket", endpoint_url=url, credentials=KEY, limits=ONE_TRY)
        for call in (lambda: store.put_if_absent("k", b"x"), lambda: store.read("k", max_bytes=1), lambda: store.list("")):
            with pytest.raises(TransientError, match="cannot be reached") as caught:
                call()
            assert url in str(caught.value)
            assert "firewall" in str(caught.value)


def test_a_server_that_does_not_answer_is_transient() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = S3Store("bucket", endpoint_url=url, credentials=KEY, limits=S3Limits(max_attempts=1, read_timeout_s=0.2))
        with pytest.raises(TransientError, match="may have been carried out"):
            store.put_if_absent("k", b"x")


def test_without_credentials_it_says_how_to_give_them() -> None:
    store = S3Store("bucket", endpoint_url="http://127.0.0.1:9", limits=ONE_TRY)
    with pytest.raises(AccessDenied, match="AWS_ACCESS_KEY_ID"):
        store.read("k", max_bytes=1)


@pytest.mark.parametrize(
    "bad",
    [
        {"bucket": ""},
        {"bucket": "a/b"},
        {"bucket": "b", "prefix": "../x"},
        {"bucket": "b", "endpoint_url": "localhost:8333"},
        {"bucket": "b", "endpoint_url": "http://host:99999"},
        {"bucket": "b", "endpoint_url": "https://me:pass@host"},
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(bad: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        S3Store(**bad)
    assert "pass" not in str(caught.value)


def test_a_bucket_s_name_that_boto_refuses_is_our_error() -> None:
    with pytest.raises(TransportError, match="name of the bucket"):
        S3Store("no spaces", endpoint_url="http://127.0.0.1:9", credentials=KEY, limits=ONE_TRY).read("k", max_bytes=1)


def test_nothing_shows_the_secret() -> None:
    store = S3Store("b-1", credentials=KEY, endpoint_url="http://127.0.0.1:9")
    assert "very-secret-text" not in repr(store) + repr(KEY) + repr(store.limits)


def test_read_many_holds_no_more_than_its_share_in_memory(scripted: ScriptedServer) -> None:
    """Half a megabyte of room and objects of up to 100 kB: five reads are started before the first answer is taken, not thirty."""
    scripted.answers = [(206, {"Content-Range": "bytes 0-3/4"}, b"data")]
    store = scripted.store(S3Limits(max_attempts=1, max_in_flight_bytes=500_000, threads=32))
    taken: list[str] = []

    def keys() -> Iterator[str]:
        for i in range(30):
            taken.append(f"k{i}")
            yield f"k{i}"

    answers = store.read_many(keys(), max_bytes=100_000)
    next(answers)
    assert len(taken) == 6
    assert [value for _, value in answers] == [b"data"] * 29


# SeaweedFS: what a real server's credentials and policies do


@pytest.mark.seaweedfs
def test_wrong_credentials_are_refused(seaweedfs: SeaweedFS) -> None:
    right = seaweedfs.credentials()
    wrong_secret = S3Credentials(access_key=right.access_key, secret_key="wrong")
    wrong_key = S3Credentials(access_key="NOBODY", secret_key=right.secret_key)
    good = seaweedfs.store("suite", prefix="credentials")
    for credentials, says in ((wrong_secret, "secret key"), (wrong_key, "access key")):
        store = S3Store("suite", prefix="credentials", endpoint_url=seaweedfs.endpoint_url, credentials=credentials)
        for call in (lambda store=store: store.put_if_absent("k", b"x"), lambda store=store: store.read("k", max_bytes=1), lambda store=store: store.list("")):
            with pytest.raises(AccessDenied, match=says):
                call()
    assert [*good.list("")] == [], "nothing was written"


@pytest.mark.seaweedfs
def test_a_missing_bucket_is_named(seaweedfs: SeaweedFS) -> None:
    store = seaweedfs.store("never-made", create=False)
    assert store.bucket_exists() is False
    calls = (lambda: store.put_if_absent("k", b"x"), lambda: store.read("k", max_bytes=1), lambda: store.head("k"), lambda: store.list(""))
    for call in calls:
        with pytest.raises(TransportError, match="no bucket 'never-made'") as caught:
            call()
        assert not isinstance(caught.value, ObjectNotFound | TransientError)
    assert store.bucket_exists() is False


@pytest.mark.seaweedfs
def test_a_limited_identity_does_what_it_may_and_no_more(seaweedfs: SeaweedFS) -> None:
    reader, client = (seaweedfs.store("suite", identity=name) for name in ("reader", "client"))
    assert client.put_if_absent("inbox/00000001/ann/0", b"update") is True
    assert client.put_if_absent("inbox/00000001/ann/0", b"other") is False
    assert reader.read("inbox/00000001/ann/0", max_bytes=100) == b"update"
    for store, key in ((client, "rounds/00000001/result"), (reader, "inbox/00000001/bob/0")):
        with pytest.raises(AccessDenied):
            store.put_if_absent(key, b"forged")
        assert seaweedfs.store("suite").head(key) is None


def http(method: str, url: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})  # noqa: S310 - a loopback address
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - a loopback address
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, b""


@pytest.mark.seaweedfs
def test_a_presigned_url_creates_once_and_only_with_its_condition(seaweedfs: SeaweedFS) -> None:
    store = seaweedfs.store("suite", prefix="presigned")
    url = store.presign_put_if_absent("inbox/0", expires_s=600)
    assert http("PUT", url, b"unconditional")[0] == 403
    assert store.head("inbox/0") is None
    condition = {"If-None-Match": "*"}
    assert http("PUT", url.replace("inbox/0", "inbox/1"), b"elsewhere", condition)[0] == 403
    assert http("PUT", url, b"first", condition)[0] == 200
    assert http("PUT", url, b"second", condition)[0] == 412
    assert http("GET", store.presign_get("inbox/0", expires_s=600)) == (200, b"first")
    assert [info.key for info in store.list("")] == ["inbox/0"]
