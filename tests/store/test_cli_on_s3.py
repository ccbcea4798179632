"""The command line against a real S3 server: a night, wrong credentials, no bucket, no server at
all. Nothing is written where it fails.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hyperfed.cli import app
from hyperfed.cli.invocation import Invocation
from hyperfed.demo import VARIABLES, series_csv
from hyperfed.storage.s3 import S3Store
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import SeaweedFS

pytestmark = pytest.mark.seaweedfs
SECRET = "not-the-secret-of-anybody-here"
BUCKET = "suite"


class Night:
    """A federation under one prefix of the server's bucket, and texas' desk."""

    def __init__(self, server: SeaweedFS, prefix: str, folder: Path) -> None:
        self.folder = folder
        self.store: S3Store = server.store(BUCKET, prefix=prefix)
        self.federation = SmallFederation(
            clients=("iowa", "ohio", "texas"),
            store=self.store,
            vocabulary=Vocabulary.of(*VARIABLES),
        )
        self.federation.open(1)
        self.federation.keys["texas"].save(folder / "texas.key")
        (folder / "texas.csv").write_text(series_csv("texas"))
        known = server.credentials()
        self.credentials(known.access_key, known.secret_key)
        self.config(f"s3://{BUCKET}/{prefix}", server.endpoint_url)

    def credentials(self, access_key: str, secret_key: str) -> None:
        path = self.folder / "store.toml"
        path.write_text(f'access_key = "{access_key}"\nsecret_key = "{secret_key}"\n')
        path.chmod(0o600)

    def config(self, url: str, endpoint: str) -> None:
        (self.folder / "hyperfed.toml").write_text(
            f'[store]\nurl = "{url}"\nendpoint = "{endpoint}"\naccess_key_file = "store.toml"\n'
            f'[federation]\nfingerprint = "{self.federation.fingerprint}"\n[client]\nid = '
            '"texas"\nkey = "texas.key"\n'
        )

    def run(self, *args: str) -> tuple[int, Any]:
        ran = CliRunner().invoke(
            app, ["--config", str(self.folder / "hyperfed.toml"), *args, "--json"]
        )
        assert isinstance(ran.exception, SystemExit | None), ran.exc_info
        assert SECRET not in ran.output
        return ran.exit_code, json.loads(ran.stdout)

    def submit(self) -> tuple[int, Any]:
        return self.run("submit", "--data", str(self.folder / "texas.csv"), "--bootstraps", "10")

    def fails(self, *, code: int, kind: str) -> Any:
        """A submit that must fail and write nothing; its error."""
        before = self.federation.objects()
        ended, said = self.submit()
        assert (ended, said["error"]["kind"]) == (code, kind), said
        assert said["error"]["remedy"]
        assert self.federation.objects() == before
        assert not (self.folder / "texas.memory.json").exists()
        return said["error"]


@pytest.fixture
def night(
    seaweedfs: SeaweedFS,
    new_prefix: Callable[[], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Night:
    here = Night(seaweedfs, new_prefix(), tmp_path)
    monkeypatch.setattr(
        Invocation, "now", property(lambda _: here.federation.opens(1).replace(hour=12))
    )
    return here


def test_a_night_on_s3(night: Night) -> None:
    code, sent = night.submit()
    assert (code, sent["key"]) == (0, "inbox/00000001/texas/0")
    for client in ("iowa", "ohio"):
        night.federation.submit(client)
    night.federation.run(1)
    assert night.run("status")[1]["headline"] == "counted in round 1"
    code, pulled = night.run("pull", "--out", str(night.folder / "model"))
    assert (code, pulled["clients"]) == (0, 3)
    assert (night.folder / "model" / "model.npz").exists()
    assert night.run("inspect", "inbox/00000001/texas/0")[1]["verified"] is True


def test_wrong_credentials(night: Night, seaweedfs: SeaweedFS) -> None:
    night.credentials(seaweedfs.credentials().access_key, SECRET)
    error = night.fails(code=3, kind="AccessDenied")
    assert "secret key" in error["remedy"]
    night.credentials("NOBODYSKEY0000000000", SECRET)
    assert "access key" in night.fails(code=3, kind="AccessDenied")["remedy"]


def test_no_credentials(night: Night) -> None:
    config = night.folder / "hyperfed.toml"
    config.write_text(config.read_text().replace('access_key_file = "store.toml"\n', ""))
    error = night.fails(code=3, kind="AccessDenied")
    assert "AWS_ACCESS_KEY_ID" in error["remedy"]


def test_a_key_that_may_only_read(night: Night, seaweedfs: SeaweedFS) -> None:
    known = seaweedfs.credentials("reader")
    night.credentials(known.access_key, known.secret_key)
    objects = night.federation.objects()
    code, said = night.submit()
    assert (code, said["error"]["kind"]) == (3, "AccessDenied")
    assert night.federation.objects() == objects
    assert night.run("round", "status")[0] == 0


def test_no_such_bucket(night: Night, seaweedfs: SeaweedFS) -> None:
    night.config("s3://there-is-no-such-bucket", seaweedfs.endpoint_url)
    assert "there is no bucket" in night.fails(code=3, kind="TransportError")["problem"]


def test_no_object_store(night: Night) -> None:
    night.config(f"s3://{BUCKET}", "http://127.0.0.1:9")  # the discard port: nobody listens
    error = night.fails(code=3, kind="TransientError")
    assert "cannot be reached" in error["problem"]


def test_an_empty_prefix(night: Night, seaweedfs: SeaweedFS, new_prefix: Callable[[], str]) -> None:
    night.config(f"s3://{BUCKET}/{new_prefix()}", seaweedfs.endpoint_url)
    assert "no registry" in night.fails(code=1, kind="RegistryError")["problem"]
