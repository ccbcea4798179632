"""What goes through obstore, what falls back to boto3, and that both say the same."""

from collections.abc import Callable, Iterator
from typing import Any

import obstore
import pytest

from hyperfed.adapters.obstore_reads import FastS3Store
from hyperfed.adapters.s3 import S3Credentials, S3Limits, S3Store
from hyperfed.errors import AccessDenied, ObjectNotFound, ObjectTooLarge, TransportError
from hyperfed.stores import open_store
from hyperfed.testing.seaweedfs import SeaweedFS

pytestmark = pytest.mark.seaweedfs

KEYS = [f"inbox/00000001/site-{i:02d}/0" for i in range(12)]


@pytest.fixture
def store(seaweedfs: SeaweedFS, new_prefix: Callable[[], str]) -> Iterator[FastS3Store]:
    made = FastS3Store("suite", prefix=new_prefix(), endpoint_url=seaweedfs.endpoint_url, credentials=seaweedfs.credentials())
    yield made
    made.close()


def forbid(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """No boto3 request of these names may be made."""

    def refuse(*args: Any, **options: Any) -> Any:
        raise AssertionError("asked of boto3")

    for name in names:
        monkeypatch.setattr(S3Store, name, refuse)


def test_bulk_work_needs_no_request_of_boto3(store: FastS3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, "read", "put_if_absent", "list", "_client")
    assert all(answer is True for _, answer in store.put_many([(key, key.encode()) for key in KEYS]))
    assert all(answer is False for _, answer in store.put_many([(key, b"other") for key in KEYS]))
    assert [info.key for info in store.list("inbox/00000001/")] == KEYS
    assert [(key, data) for key, data in store.read_many(KEYS, max_bytes=99)] == [(key, key.encode()) for key in KEYS]


def test_an_object_over_the_cap_is_refused_by_its_size(store: FastS3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put_if_absent("a/0", bytes(101))
    forbid(monkeypatch, "read")
    ((_, error),) = store.read_many(["a/0"], max_bytes=100)
    assert isinstance(error, ObjectTooLarge)
    assert "holds 101 bytes" in error.problem


def test_errors_have_the_names_they_have_without_obstore(seaweedfs: SeaweedFS, store: FastS3Store) -> None:
    ((_, missing),) = store.read_many(["none"], max_bytes=9)
    assert isinstance(missing, ObjectNotFound)
    wrong = S3Credentials(access_key=seaweedfs.credentials().access_key, secret_key="wrong" * 8)
    denied = FastS3Store("suite", endpoint_url=seaweedfs.endpoint_url, credentials=wrong, limits=S3Limits(max_attempts=1))
    ((_, error),) = denied.read_many(["none"], max_bytes=9)
    assert isinstance(error, AccessDenied)
    assert "wrongwrong" not in str(error)
    ((_, error),) = denied.put_many([("x", b"y")])
    assert isinstance(error, AccessDenied)
    with pytest.raises(AccessDenied):
        list(denied.list("inbox/"))
    nowhere = FastS3Store("no-such-bucket", endpoint_url=seaweedfs.endpoint_url, credentials=seaweedfs.credentials(), limits=S3Limits(max_attempts=1))
    ((_, error),) = nowhere.read_many(["none"], max_bytes=9)
    assert isinstance(error, TransportError)


def test_a_folders_marker_and_an_empty_object_are_what_they_are_without_obstore(store: FastS3Store) -> None:
    store.put_if_absent("inbox/00000001/site-01/0", b"x")
    store._client().put_object(Bucket="suite", Key=store.prefix + "inbox/00000001/marked/", Body=b"")
    store.put_if_absent("inbox/00000001/site-02/0", b"")
    expected = [(info.key, info.size) for info in S3Store.list(store, "inbox/00000001/")]
    assert [(info.key, info.size) for info in store.list("inbox/00000001/")] == expected == [(KEYS[1], 1), (KEYS[2], 0)]


def test_a_key_that_no_client_of_ours_writes_is_listed_as_it_is(store: FastS3Store) -> None:
    store.put_if_absent("inbox/00000001/site-01/0", b"x")
    store._client().put_object(Bucket="suite", Key=store.prefix + "inbox/00000001/site 02/%41", Body=b"x")
    assert [info.key for info in store.list("inbox/00000001/")] == [info.key for info in S3Store.list(store, "inbox/00000001/")]


def test_a_body_that_comes_short_is_fetched_again(store: FastS3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put_if_absent("a/0", b"whole")

    class Short:
        meta = {"size": 5}  # noqa: RUF012 - a stand-in

        def bytes(self) -> bytes:
            return b"who"

    monkeypatch.setattr(obstore, "get", lambda *_: Short())
    assert dict(store.read_many(["a/0"], max_bytes=9)) == {"a/0": b"whole"}


def test_an_address_opens_the_fast_store_where_obstore_is_installed() -> None:
    assert isinstance(open_store("s3://bucket/prefix").inner, FastS3Store)  # type: ignore[attr-defined]
