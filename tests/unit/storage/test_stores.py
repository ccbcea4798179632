"""Addresses of object stores: what each means, and what is refused before any request."""

from pathlib import Path

import pytest

from hyperfed.errors import ConfigError, HyperfedError, TransientError
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.opening import open_store, read_credentials
from hyperfed.storage.retrying import RetryingStore
from hyperfed.storage.s3 import S3Store

SECRET = "do-not-show-this-secret"


def _inner(url: str, **options: object) -> object:
    store = open_store(url, **options)  # type: ignore[arg-type]
    assert isinstance(store, RetryingStore)
    return store.inner


def test_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a box").mkdir()
    for url in (
        f"file://{tmp_path}/a%20box",
        f"file:{tmp_path}/a%20box",
        f"file://localhost{tmp_path}/a%20box",
        f"FILE://{tmp_path}/a box",
    ):
        inner = _inner(url)
        assert isinstance(inner, FilesystemStore)
        assert inner.root == (tmp_path / "a box").resolve()
    assert _inner("file:a%20box", base=tmp_path).root == (tmp_path / "a box").resolve()  # type: ignore[attr-defined]
    monkeypatch.chdir(tmp_path)
    assert _inner("file:a box").root == (tmp_path / "a box").resolve()  # type: ignore[attr-defined]


def test_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    inner = _inner("s3://bucket/a/prefix/", endpoint="http://127.0.0.1:9000", region="eu-central-1")
    assert isinstance(inner, S3Store)
    assert (inner.bucket, inner.prefix, inner.endpoint_url, inner.region) == (
        "bucket",
        "a/prefix/",
        "http://127.0.0.1:9000",
        "eu-central-1",
    )
    plain = _inner("s3://bucket")
    assert isinstance(plain, S3Store)
    assert (plain.prefix, plain.endpoint_url, plain.region) == ("", None, "us-east-1")
    monkeypatch.setenv("AWS_REGION", "ap-south-1")
    assert _inner("s3://bucket").region == "ap-south-1"  # type: ignore[attr-defined]


def test_it_is_as_patient_as_it_was_asked_to_be(tmp_path: Path) -> None:
    calls = []
    store = open_store(f"file://{tmp_path}", attempts=3)
    assert isinstance(store, RetryingStore)
    store._sleep = lambda _: None

    def fail(prefix: str) -> None:
        calls.append(prefix)
        raise TransientError("down")

    store.inner.list = fail  # type: ignore[method-assign,assignment]
    with pytest.raises(TransientError):
        store.list("inbox/")
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("memory:", {}, "nobody else can read it"),
        ("memory://box", {}, "nobody else can read it"),
        ("", {}, "not the address of an object store"),
        ("/srv/box", {}, "not the address of an object store"),
        ("ftp://host/box", {}, "not the address of an object store"),
        ("s3:bucket", {}, "not the address of a bucket"),
        ("s3:///prefix", {}, "not the address of a bucket"),
        ("s3://bucket?x=1", {}, "not the address of a bucket"),
        (f"s3://key:{SECRET}@bucket", {}, "must not carry credentials"),
        (f"https://key:{SECRET}@host/bucket", {}, "not the address of an object store"),
        ("s3://bucket/../other", {}, "not a valid object key"),
        ("s3://bucket", {"endpoint": "127.0.0.1:9000"}, "not the address of an S3 endpoint"),
        ("file:", {}, "names no folder"),
        ("file:///nonexistent/box", {}, "no such folder"),
        ("file://server/share", {}, "names a host"),
        ("file:/x%00y", {}, "names no folder"),
        ("file:///tmp", {"endpoint": "http://127.0.0.1"}, "belong to an S3 store"),
    ],
)
def test_what_is_no_address(url: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(url, **options)  # type: ignore[arg-type]
    assert said in caught.value.problem
    assert SECRET not in str(caught.value)


def _credentials(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "store.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_credentials_from_a_file(tmp_path: Path) -> None:
    found = read_credentials(
        _credentials(tmp_path, f'access_key = "AK"\nsecret_key = "{SECRET}"\n')
    )
    assert (found.access_key, found.secret_key, found.session_token) == ("AK", SECRET, None)
    found = read_credentials(
        _credentials(tmp_path, f'access_key = "AK"\nsecret_key = "{SECRET}"\nsession_token = "T"\n')
    )
    assert found.session_token == "T"
    assert SECRET not in repr(found)
    inner = _inner(
        "s3://bucket",
        access_key_file=_credentials(tmp_path, f'access_key = "AK"\nsecret_key = "{SECRET}"\n'),
    )
    assert isinstance(inner, S3Store)
    assert inner._signer._given is not None
    assert inner._signer._given.secret_key == SECRET


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (f'access_key = "AK"\nsecret_key = "{SECRET}"\n', 0o644, "others can read"),
        (
            f'access_key = "AK"\nsecret_key = "{SECRET}"\n',
            0o640,
            "others can read this access key (mode 640)",
        ),
        (
            f'access_key = "AK"\nsecret_key = "{SECRET}"\n',
            0o604,
            "others can read this access key (mode 604)",
        ),
        (
            f'access_key = "AK"\nsecret_key = "{SECRET}"\n',
            0o620,
            "others can read this access key (mode 620)",
        ),
        (f'secret_key = "{SECRET}"\n', 0o600, "access_key is missing"),
        (f'access_key = 7\nsecret_key = "{SECRET}"\n', 0o600, "access_key is missing or no text"),
        (
            f'access_key = "AK"\nsecret_key = "{SECRET}"\nregion = "x"\n',
            0o600,
            "unknown name 'region'",
        ),
        (f"secret_key = {SECRET}\n", 0o600, "is not TOML"),
        (
            f'access_key = "AK"\nsecret_key = "{SECRET}"\nsession_token = 7\n',
            0o600,
            "session_token is no text",
        ),
    ],
)
def test_credentials_that_cannot_be_used_are_not_shown(
    open_folder: Path, text: str, mode: int, said: str
) -> None:
    path = _credentials(open_folder, text, mode)
    with pytest.raises(ConfigError) as caught:
        read_credentials(path)
    assert said in caught.value.problem
    assert caught.value.subject == str(path)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__
    with pytest.raises(HyperfedError, match="no such access key file"):
        read_credentials(open_folder / "gone.toml")
