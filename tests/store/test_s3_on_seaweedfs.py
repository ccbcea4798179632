"""What a real server's credentials and policies do with S3Store's requests."""

import pytest

from hyperfed.errors import AccessDenied, ObjectNotFound, TransientError, TransportError
from hyperfed.storage.s3 import S3Credentials, S3Store
from hyperfed.testing.seaweedfs import SeaweedFS
from tests.store.scripted_server import http


@pytest.mark.seaweedfs
def test_wrong_credentials_are_refused(seaweedfs: SeaweedFS) -> None:
    right = seaweedfs.credentials()
    wrong_secret = S3Credentials(access_key=right.access_key, secret_key="wrong")
    wrong_key = S3Credentials(access_key="NOBODY", secret_key=right.secret_key)
    good = seaweedfs.store("suite", prefix="credentials")
    for credentials, says in ((wrong_secret, "secret key"), (wrong_key, "access key")):
        store = S3Store(
            "suite",
            prefix="credentials",
            endpoint_url=seaweedfs.endpoint_url,
            credentials=credentials,
        )
        for call in (
            lambda store=store: store.put_if_absent("k", b"x"),
            lambda store=store: store.read("k", max_bytes=1),
            lambda store=store: store.list(""),
        ):
            with pytest.raises(AccessDenied, match=says):
                call()
    assert [*good.list("")] == [], "nothing was written"


@pytest.mark.seaweedfs
def test_a_missing_bucket_is_named(seaweedfs: SeaweedFS) -> None:
    store = seaweedfs.store("never-made", create=False)
    assert store.bucket_exists() is False
    calls = (
        lambda: store.put_if_absent("k", b"x"),
        lambda: store.read("k", max_bytes=1),
        lambda: store.head("k"),
        lambda: store.list(""),
    )
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
