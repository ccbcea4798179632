"""S3Store's own: what the answers of a server and the errors of the way to it become. Security is
asserted against SeaweedFS only (`test_s3_on_seaweedfs`).
"""

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hyperfed.errors import (
    AccessDenied,
    ConfigError,
    ObjectNotFound,
    StoreUnsuitable,
    TransientError,
    TransportError,
)
from hyperfed.storage.http_requests import asked_s
from hyperfed.storage.retrying import MOST_ASKED_S, RetryingStore
from hyperfed.storage.s3 import S3Credentials, S3Limits, S3Store
from tests.store.scripted_server import KEY, OK, ONE_TRY, PAGE, ScriptedServer, error


def test_a_put_asks_for_creation_only_and_signs_the_body(scripted: ScriptedServer) -> None:
    scripted.answers = [OK]
    assert scripted.store().put_if_absent("a/b", b"data") is True
    method, path, headers = scripted.requests[0]
    assert (method, path, headers["if-none-match"]) == ("PUT", "/bucket/fed/a/b", "*")
    assert "if-none-match" in headers["authorization"], "the condition is under the signature"
    assert (
        headers["x-amz-content-sha256"]
        == "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"
    )


def test_a_put_carries_the_checksum_that_buckets_with_object_lock_demand(
    scripted: ScriptedServer,
) -> None:
    scripted.answers = [OK]
    assert scripted.store().put_if_absent("k", b"data")
    headers = scripted.requests[0][2]
    assert headers["content-md5"] == "jXd/OF09/siBXSD3SWAm3A=="
    assert "content-md5" in headers["authorization"]


def test_304_is_an_object_that_exists(scripted: ScriptedServer) -> None:
    scripted.answers = [(304, {}, b"")]
    assert scripted.store().put_if_absent("k", b"x") is False


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_request_and_no_token_goes_where_a_redirect_leads(
    scripted: ScriptedServer, status: int
) -> None:
    inner = ScriptedServer()
    inner.answers = [OK]
    thread = threading.Thread(target=inner.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        scripted.answers = [(status, {"Location": f"{inner.url}/admin"}, b"")]
        key = S3Credentials(access_key="AK", secret_key="s", session_token="a-token")
        store = S3Store("bucket", endpoint_url=scripted.url, credentials=key, limits=ONE_TRY)
        calls = (
            lambda: store.put_if_absent("k", b"x"),
            lambda: store.read("k", max_bytes=9),
            lambda: store.head("k"),
            lambda: store.list(""),
            store.bucket_exists,
            store.ensure_bucket,
            lambda: store.forget("k"),
        )
        for call in calls:
            with pytest.raises(TransportError, match="is not followed"):
                call()
        for _, answer in (*store.read_many(["a"], max_bytes=9), *store.put_many([("a", b"x")])):
            assert isinstance(answer, TransportError)
        assert inner.requests == []
        assert len(scripted.requests) == 9
    finally:
        inner.server.shutdown()
        thread.join()
        inner.server.server_close()


def page(*names: str, more: bool, token: str = "", spelt: bool = False) -> Any:
    text = "".join(f"<Contents><Key>{n}</Key><Size>1</Size></Contents>" for n in names)
    going = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    how = "<EncodingType>url</EncodingType>" if spelt else ""
    said = f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{how}{going}{text}"
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    return 200, {}, f'<ListBucketResult xmlns="{space}">{said}</ListBucketResult>'.encode()


def test_a_listing_follows_its_pages_and_leaves_out_what_is_no_key(
    scripted: ScriptedServer,
) -> None:
    scripted.answers = [
        page("fed/b", "fed/dir/", more=True, token="t+/1=", spelt=True),
        page(more=True, token="t2"),
        page("fed/a", "fed/x%20y", "fed/%C3%A4", more=False, spelt=True),
    ]
    assert [info.key for info in scripted.store().list("")] == ["a", "b"]
    assert "continuation-token=t%2B%2F1%3D" in scripted.requests[1][1]


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([page("fed/a", more=True)], "not how to go on"),
        ([page("fed/a", more=True, token="t"), page("fed/b", more=True, token="t")], "repeats"),
        ([page("fed/a", more=True, token="t"), page("fed/a", more=True, token="u")], "repeats"),
    ],
)
def test_a_listing_that_does_not_end_is_refused_and_not_cut(
    scripted: ScriptedServer, answers: Any, says: str
) -> None:
    scripted.answers = answers
    with pytest.raises(StoreUnsuitable, match=says):
        scripted.store().list("")


def test_pages_without_objects_end_some_day(scripted: ScriptedServer) -> None:
    scripted.answers = [page(more=True, token=f"t{i}") for i in range(300)]
    with pytest.raises(StoreUnsuitable, match="brings nothing in 100 pages"):
        scripted.store().list("")


def test_what_is_no_listing_is_no_empty_listing(scripted: ScriptedServer) -> None:
    for body in (b"", b"ok", b"<Other/>", b"{}"):
        scripted.answers = [(200, {}, body)]
        with pytest.raises(TransportError, match="is no listing"):
            scripted.store().list("")


@pytest.mark.parametrize(
    ("endpoint", "bucket", "addressing", "says"),
    [
        ("https://s3.example", "fed", "path", "https://s3.example/fed/k"),
        ("https://s3.example/", "fed", "virtual", "https://fed.s3.example/k"),
        ("https://s3.example:9000", "fed", "auto", "https://fed.s3.example:9000/k"),
        ("https://s3.example", "fed.x", "auto", "https://s3.example/fed.x/k"),
        ("http://127.0.0.1:9", "fed", "auto", "http://127.0.0.1:9/fed/k"),
        ("http://localhost:9", "fed", "auto", "http://localhost:9/fed/k"),
        ("http://[::1]:9", "fed", "auto", "http://[::1]:9/fed/k"),
        (None, "fed", "auto", "https://fed.s3.eu-central-1.amazonaws.com/k"),
        (None, "fed", "path", "https://s3.eu-central-1.amazonaws.com/fed/k"),
    ],
)
def test_the_bucket_stands_where_the_store_wants_it(
    endpoint: str | None, bucket: str, addressing: str, says: str
) -> None:
    store = S3Store(
        bucket,
        endpoint_url=endpoint,
        credentials=KEY,
        region="eu-central-1",
        addressing=addressing,
    )
    assert store.presign_get("k", expires_s=9).partition("?")[0] == says


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


def test_a_put_whose_answer_was_an_error_is_sent_again_and_may_find_itself(
    scripted: ScriptedServer,
) -> None:
    """Why False means 'read and compare': the first request may have been applied."""
    scripted.answers = [error(500, "InternalError"), error(412, "PreconditionFailed")]
    assert scripted.store(S3Limits(max_attempts=3)).put_if_absent("k", b"x") is False


def slow(retry_after: str) -> tuple[int, dict[str, str], bytes]:
    status, headers, body = error(503, "SlowDown")
    return status, {**headers, "Retry-After": retry_after}, body


def test_a_store_that_asks_for_time_gets_it_a_bounded_number_of_times(
    scripted: ScriptedServer,
) -> None:
    slept: list[float] = []
    store = scripted.store(S3Limits(max_attempts=3))
    store._sleep = slept.append
    scripted.answers = [slow("2"), slow("2"), (200, {}, b"")]
    assert store.put_if_absent("k", b"x") is True
    assert [2 < pause < 3 for pause in slept] == [True, True]
    scripted.answers = [slow("2")]
    for call in (
        lambda: store.put_if_absent("k", b"x"),
        lambda: store.read("k", max_bytes=9),
        lambda: store.list("k"),
    ):
        scripted.requests.clear()
        with pytest.raises(
            TransientError, match=r"503 SlowDown: said the store; to be asked again after 2 s"
        ):
            call()
        assert len(scripted.requests) == 3
    slept.clear()
    scripted.answers = [slow("86400"), (200, {}, b"")]
    assert store.put_if_absent("k", b"x") is True
    assert slept[0] < MOST_ASKED_S + 1, "nobody waits for a day"


def test_of_many_requests_at_once_none_waits_and_a_retrying_store_tries_again(
    scripted: ScriptedServer,
) -> None:
    slept: list[float] = []
    store = scripted.store(S3Limits(max_attempts=4))
    store._sleep = slept.append
    for answer in (slow("2"), error(409, "ConditionalRequestConflict")):
        scripted.answers = [answer]
        scripted.requests.clear()
        ((_, created),) = store.put_many([("k", b"x")])
        assert isinstance(created, TransientError)
        assert (len(scripted.requests), slept) == (1, [])
    scripted.answers = [slow("2")]
    ((_, found),) = store.read_many(["k"], max_bytes=9)
    assert isinstance(found, TransientError)
    assert (len(scripted.requests), slept) == (2, [])
    patient = RetryingStore(store, sleep=slept.append)
    scripted.answers = [slow("2"), slow("2"), (206, {"Content-Range": "bytes 0-0/1"}, b"x")]
    assert list(patient.read_many(["k"], max_bytes=9)) == [("k", b"x")]
    scripted.answers = [slow("2"), slow("2"), (200, {}, b"")]
    assert list(patient.put_many([("k", b"x")])) == [("k", True)]
    assert len(slept) == 2


@pytest.mark.parametrize(
    ("retry_after", "asked"),
    [
        ("120", 120.0),
        (" 1 ", 1.0),
        ("Wed, 30 Dec 2026 12:01:30 GMT", 90.0),
        ("Wed, 30 Dec 2026 11:00:00 GMT", 0.0),
        ("", 0.0),
        ("-5", 0.0),
        ("soon", 0.0),
        ("\u0663", 0.0),
        ("9" * 400, 0.0),
    ],
)
def test_both_forms_of_retry_after_are_read(retry_after: str, asked: float) -> None:
    assert asked_s(retry_after, datetime(2026, 12, 30, 12, tzinfo=UTC)) == asked


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
        (error(501, "NotImplemented"), StoreUnsuitable, "does not implement"),
        (error(400, "EntityTooLarge"), TransportError, "said the store"),
        (error(400, "InternalError"), TransientError, "InternalError"),
        ((502, {}, b"<html>a proxy's page</html>"), TransientError, "502"),
        (error(401, "Unauthorized"), AccessDenied, "401 Unauthorized: said the store"),
        (error(403, "QuotaExceeded"), TransportError, "no room left"),
        (error(403, "SecondLevelDomainForbidden"), TransportError, 'addressing = "virtual"'),
        (
            (407, {"Content-Type": "text/html"}, b"<html><title>Sign in</title></html>"),
            AccessDenied,
            "http://user:password@proxy:port",
        ),
        (
            (403, {"Content-Type": "text/html"}, b"<h1>Web filter:  file sharing</h1>"),
            AccessDenied,
            "a web page: 'Web filter: file sharing'",
        ),
        (
            (200, {"Content-Type": "text/html; charset=utf-8"}, PAGE),
            TransportError,
            "(200, a web page: 'Hotel & wifi')",
        ),
        (
            (301, {"x-amz-bucket-region": "eu-west-1"}, b"<Error><Code>PermanentRedirect</Code>"),
            TransportError,
            "Set [store] region 'eu-west-1'",
        ),
        (
            (307, {"Location": "http://u:p@inner.example:8080/admin?x=1"}, b""),
            TransportError,
            "(307, to inner.example:8080), which is not followed",
        ),
    ],
)
def test_every_answer_becomes_one_of_our_errors(
    scripted: ScriptedServer, answer: Any, kind: type[TransportError], says: str
) -> None:
    scripted.answers = [answer]
    store = scripted.store()
    calls = [
        lambda: store.put_if_absent("k", b"x"),
        lambda: store.read("k", max_bytes=9),
        lambda: store.head("k"),
        lambda: store.list("k"),
    ]
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


def test_a_range_of_an_unknown_whole_is_measured_by_head(scripted: ScriptedServer) -> None:
    scripted.answers = [
        (206, {"Content-Range": "bytes 0-0/*"}, b"d"),
        (200, {"Content-Length": "4"}, b""),
    ]
    found = scripted.store().head("k")
    assert found is not None
    assert found.size == 4
    assert [method for method, _, _ in scripted.requests] == ["GET", "HEAD"]
    scripted.answers = [(206, {"Content-Range": "bytes 0-3/*"}, b"data")]
    assert scripted.store().read("k", max_bytes=9) == b"data"
    with pytest.raises(TransportError, match="at most 3 are read"):
        scripted.store().read("k", max_bytes=3)


def test_no_more_than_the_cap_is_asked_for(scripted: ScriptedServer) -> None:
    scripted.answers = [(206, {"Content-Range": "bytes 0-3/4"}, b"data")]
    assert scripted.store().read("k", max_bytes=1000) == b"data"
    assert scripted.requests[0][2]["range"] == "bytes=0-1000"


def test_a_server_that_ignores_ranges_is_still_held_to_the_cap(scripted: ScriptedServer) -> None:
    scripted.answers = [(200, {}, b"x" * 5000)]
    with pytest.raises(TransportError, match="5000 bytes; at most 100"):
        scripted.store().read("k", max_bytes=100)
    assert scripted.store().read("k", max_bytes=5000) == b"x" * 5000


@pytest.mark.parametrize(
    ("headers", "body"),
    [({"Content-Length": "9"}, b"cut"), ({"Content-Range": "bytes 0-3/9"}, b"data")],
)
def test_an_answer_that_ends_early_is_transient(
    scripted: ScriptedServer, headers: dict[str, str], body: bytes
) -> None:
    scripted.answers = [(206, headers, body)]
    with pytest.raises(TransientError):
        scripted.store().read("k", max_bytes=100)


def test_an_endpoint_that_cannot_be_reached_is_named() -> None:
    with socket.socket() as held:  # bound, not listening: refused at once
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        store = S3Store("bucket", endpoint_url=url, credentials=KEY, limits=ONE_TRY)
        for call in (
            lambda: store.put_if_absent("k", b"x"),
            lambda: store.read("k", max_bytes=1),
            lambda: store.list(""),
        ):
            with pytest.raises(TransientError, match="cannot be reached") as caught:
                call()
            assert url in str(caught.value)
            assert "firewall" in str(caught.value)


def test_a_server_that_does_not_answer_is_transient() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = S3Store(
            "bucket",
            endpoint_url=url,
            credentials=KEY,
            limits=S3Limits(max_attempts=1, read_timeout_s=0.2),
        )
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
        {"bucket": "no spaces"},
        {"bucket": "bucket", "addressing": "host"},
        {"bucket": "bucket", "ca_file": Path("/no/such/bundle.pem")},
        {"bucket": "bucket", "prefix": "../x"},
        {"bucket": "bucket", "endpoint_url": "localhost:8333"},
        {"bucket": "bucket", "endpoint_url": "http://host:99999"},
        {"bucket": "bucket", "endpoint_url": "https://me:pass@host"},
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        S3Store(**bad)
    assert "pass" not in str(caught.value)


def test_nothing_shows_the_secret() -> None:
    store = S3Store("b-1", credentials=KEY, endpoint_url="http://127.0.0.1:9")
    assert "very-secret-text" not in repr(store) + repr(KEY) + repr(store.limits)


def test_read_many_holds_no_more_than_its_share_in_memory(scripted: ScriptedServer) -> None:
    """Half a megabyte of room and objects of up to 100 kB: five reads are started before the first
    answer is taken, not thirty.
    """
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
