"""docs/server.md as it is followed: PostgreSQL with a role that is no superuser, the units' own
command lines under bubblewrap, nginx before the server, a dump and the way back, and buckets of
AWS's form (moto) and of SeaweedFS.

1. Lines are taken from the page, in their order, by section; `page_lines` says which, and what is
   run in place of some. Addresses, ports, and the folder /opt/hyperfed are replaced.
2. `aws` lines are read by the models that the command itself is made from (botocore's).
"""

import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import botocore.session
import pytest
from botocore import xform_name
from click.testing import CliRunner

from hyperfed.cli.app import app
from hyperfed.cli.operator.units import Installation, unit_files
from hyperfed.dev.processes import Process
from hyperfed.relay.certificates import make_certificate
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.s3 import S3Credentials, S3Store
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import ADMIN_ACTIONS, free_ports
from tests.installation.page_lines import BUCKET, SEAWEEDFS, UNITS, due, page
from tests.installation.postgres import Cluster, cluster
from tests.installation.sandbox import NEEDS_BUBBLEWRAP, sandboxed
from tests.waiting import eventually

CHECKOUT = Path(__file__).parents[2]
PAGE = page("server")
BIN = Path(sys.executable).parent
LOGIN = "operator:a-long-secret"


def block(name: str) -> str:
    """The indented lines after the words that name them."""
    found = re.search(rf"`[^`]*{re.escape(name)}`[^\n]*:\n\n((?: {{4}}.*\n)+)", PAGE)
    assert found is not None, name
    return re.sub(r"^ {4}", "", found[1], flags=re.MULTILINE)


# -- buckets ---------------------------------------------------------------------------------------


def aws(words: list[str], folder: Path, **client: Any) -> Any:
    """Do what an `aws` line says, by the models from which the command takes its options."""
    while words[0].startswith("--"):
        assert words[0] == "--endpoint-url", words
        words = words[2:]
    service, operation, *options = words
    made = botocore.session.Session().create_client(
        {"s3api": "s3"}.get(service, service),
        aws_access_key_id=client.pop("access_key", "x"),
        aws_secret_access_key=client.pop("secret_key", "x"),
        **client,
    )
    names = {xform_name(name, "-"): name for name in made.meta.service_model.operation_names}
    shape = made.meta.service_model.operation_model(names[operation]).input_shape
    members = {f"--{xform_name(name, '-')}": (name, m) for name, m in shape.members.items()}
    parameters = {}
    for option, text in zip(options[::2], options[1::2], strict=True):
        name, member = members[option]
        value = (folder / text[7:]).read_text() if text.startswith("file://") else text
        parameters[name] = structure(value) if member.type_name == "structure" else value
    return getattr(made, xform_name(names[operation]))(**parameters)


def structure(text: str) -> Any:
    """A structure in one of the two forms that `aws` takes: JSON, and name=value,name=value."""
    if text.lstrip().startswith("{"):
        return json.loads(text)
    pairs = dict(pair.split("=") for pair in text.split(","))
    return {name: {"true": True, "false": False}.get(value, value) for name, value in pairs.items()}


def printed(words: list[str], folder: Path) -> Any:
    """Do what a `hyperfed iam` line says, and return what it wrote."""
    *command, to, file = words
    assert to == ">", words
    done = CliRunner().invoke(app, command[1:])
    assert done.exit_code == 0, done.output
    (folder / file).write_text(done.stdout)
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("store", "region"), [("AWS", "eu-central-1"), ("Ceph", "us-east-1"), ("MinIO", "")]
)
def test_the_bucket_of_aws_and_of_ceph(store: str, region: str, tmp_path: Path) -> None:
    """What the lines ask for is there afterwards; of MinIO's, only our own is run."""
    from moto import mock_aws

    (tmp_path / "lifecycle.json").write_text(block("lifecycle.json"))
    with mock_aws():
        for words in due("server", BUCKET, store):
            if words[0] == "hyperfed":
                policy = printed(words, tmp_path)
            else:
                answer = aws(words[1:], tmp_path, region_name=region)
        assert ("Condition" in json.dumps(policy)) == (store == "AWS")
        if store == "MinIO":
            return
        assert answer["AccessKey"]["SecretAccessKey"], "the last line prints the key"
        asked = [
            ("get-bucket-versioning", "Enabled"),
            ("get-bucket-lifecycle-configuration", "'NoncurrentDays': 30"),
            ("get-public-access-block", "'RestrictPublicBuckets': True"),
        ]
        for ask, expected in asked[: 3 if store == "AWS" else 2]:
            said = aws(["s3api", ask, "--bucket", "fed"], tmp_path, region_name=region)
            assert expected in str(said), said
        ask_user = ["get-user-policy", "--user-name", "fed-coordinator", "--policy-name", "fed"]
        said = aws(["iam", *ask_user], tmp_path, region_name=region)
        assert said["PolicyDocument"] == policy


@contextmanager
def seaweedfs(words: list[str], folder: Path) -> Iterator[str]:
    """The page's SeaweedFS, with its folders below `folder` and on free ports; its address."""
    names = ("master", "volume", "filer", "s3")
    ports = free_ports([*names, *(f"{name}.grpc" for name in names)])
    (folder / "data").mkdir()
    here = words[1:]
    for at, below in (("=/var/lib/seaweedfs", "/data"), ("=/etc/seaweedfs", "")):
        here = [word.replace(at, f"={folder}{below}") for word in here]
    assert not [word for word in here if "=/" in word and str(folder) not in word]
    here += [f"-{name}.port={ports[name]}" for name in names]
    here += [f"-{name}.port.grpc={ports[f'{name}.grpc']}" for name in names]
    made = Process(
        "seaweedfs",
        [str(BIN / words[0]), *here],
        environment={},
        log=folder / "weed.log",
        cwd=folder,
        stop_timeout_s=1.0,
    )
    address = f"http://127.0.0.1:{ports['s3']}"

    def answers() -> bool:
        with suppress(URLError, OSError):
            urlopen(f"{address}/healthz", timeout=10).close()  # noqa: S310 - our loopback address
            return True
        return False

    made.start()
    try:
        eventually(answers, made.log_end)
        yield address
    finally:
        made.stop()


@pytest.mark.slow
@pytest.mark.seaweedfs
def test_a_bucket_of_seaweedfs_keeps_what_was_overwritten_and_creates_once(tmp_path: Path) -> None:
    (tmp_path / "lifecycle.json").write_text(block("lifecycle.json"))
    started, asked, *created = due("server", SEAWEEDFS, "SeaweedFS")
    actions = printed(asked, tmp_path)
    identities = json.loads(block("identities.json"))["identities"]
    assert {i["name"]: i["actions"] for i in identities} == {
        "admin": list(ADMIN_ACTIONS),
        "coordinator": actions,
    }
    (tmp_path / "identities.json").write_text(block("identities.json"))
    with seaweedfs(started, tmp_path) as address:
        admin = {
            "endpoint_url": address,
            "region_name": "us-east-1",
            "access_key": "ADMIN",
            "secret_key": "ADMIN-SECRET",
        }
        for words in created:
            aws(words[1:], tmp_path, **admin)
        keys = S3Credentials(access_key="COORDINATOR", secret_key="SECRET")
        store = S3Store("fed", endpoint_url=address, credentials=keys)
        key = "rounds/00000001/plan"
        assert store.put_if_absent(key, b"ours")
        assert not store.put_if_absent(key, b"theirs")
        assert store.read(key, max_bytes=9) == b"ours"
        store.close()
        (tmp_path / "body").write_bytes(b"overwritten")
        at = ["--bucket", "fed", "--key", key]
        aws(["s3api", "put-object", *at, "--body", "file://body"], tmp_path, **admin)
        aws(["s3api", "delete-object", *at], tmp_path, **admin)
        said = aws(["s3api", "list-object-versions", *at[:2], "--prefix", key], tmp_path, **admin)
        assert sorted(v["Size"] for v in said["Versions"]) == [4, 11]
        assert len(said["DeleteMarkers"]) == 1, "what is erased is hidden until its version goes"


# -- the machine -----------------------------------------------------------------------------------


class Server:
    """A machine on which the page is followed: its folders lie below `folder`."""

    def __init__(self, folder: Path, database: Cluster, stack: ExitStack) -> None:
        self.folder, self.database, self.stack = folder, database, stack
        self.ports = free_ports(["prefect", "tls"])
        self.files = unit_files(
            Installation(
                checkout=Path("/opt/hyperfed"),
                settings=Path("/etc/hyperfed"),
                server_user="prefect",
                worker_user="hyperfed",
                port=self.ports["prefect"],
            )
        )
        self.settings = folder / "etc-hyperfed"
        self.settings.mkdir()
        self.context: ssl.SSLContext | None = None
        self.environments = {name: self.with_addresses(name) for name in ("server", "worker")}

    def with_addresses(self, name: str) -> dict[str, str]:
        """An environment file of the page, with this machine's addresses."""
        text = block(f"/etc/hyperfed/{name}.env").replace(
            "?host=/run/postgresql", f"?host={self.database.folder}&port={self.database.port}"
        )
        text = text.replace(
            "http://127.0.0.1:4200/api", f"https://localhost:{self.ports['tls']}/api"
        )
        return dict(line.split("=", 1) for line in text.splitlines())

    def unit(self, part: str, *more: str) -> list[str]:
        """The command line of a unit, with what it sees of this machine."""
        text = self.files[f"/etc/systemd/system/hyperfed-{part}.service"]
        (command,) = re.findall("^ExecStart=(.*)$", text, re.MULTILINE)
        return self.inside(part, [*shlex.split(command), *more])

    def inside(
        self, part: str, argv: list[str], environment: dict[str, str] | None = None
    ) -> list[str]:
        """A command line with what a unit sees of this machine."""
        text = self.files[f"/etc/systemd/system/hyperfed-{part}.service"]
        user = re.findall("^User=(.*)$", text, re.MULTILINE)[0]
        writable = {}
        for kind in ("lib", "cache"):
            writable[f"/var/{kind}/{user}"] = self.folder / f"{kind}-{user}"
            writable[f"/var/{kind}/{user}"].mkdir(exist_ok=True)
        own = [line.split("=", 1) for line in re.findall("^Environment=(.*)$", text, re.MULTILINE)]
        return sandboxed(
            [argv[0].replace("/opt/hyperfed/.venv/bin", str(BIN)), *argv[1:]],
            environment={
                "HOME": f"/var/lib/{user}",
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                **dict(own),
                **self.environments[part],
                **(environment or {}),
            },
            read_only={"/etc/hyperfed": self.settings}
            if part == "worker"
            else {str(self.database.folder): self.database.folder},
            writable=writable,
            folder=f"/var/lib/{user}",
        )

    def start(self, name: str, argv: list[str]) -> Process:
        log = self.folder / f"{name}.log"
        made = Process(name, argv, environment={}, log=log, cwd=self.folder)
        made.start()
        self.stack.callback(made.stop)
        return made

    def follow(self, words: list[str]) -> None:
        """A line of the page about the database, as the user that it names."""
        assert words[:2] == ["runuser", "-u"], words
        assert words[3] == "--", words
        local = [word.replace("/var/lib/prefect", str(self.database.folder)) for word in words[4:]]
        self.database.run(*local, environment={"PGUSER": words[2]})

    def ask(self, query: str) -> str:
        return self.database.run("psql", "-U", "prefect", "-d", "prefect", "-Atc", query).strip()

    def start_nginx(self) -> ssl.SSLContext:
        """nginx with the example's file, and a context that trusts its certificate."""
        at = self.folder / "nginx"
        at.mkdir()
        certificate, key = self.settings / "ours.pem", at / "key.pem"
        now = datetime.now(UTC)
        hosts = ["localhost", "127.0.0.1"]
        make_certificate(hosts, certificate=certificate, private_key=key, now=now, days=1)
        text = (CHECKOUT / "deployments" / "nginx" / "prefect.conf").read_text()
        for said, here in (
            ("listen 443", f"listen 127.0.0.1:{self.ports['tls']}"),
            ("127.0.0.1:4200", f"127.0.0.1:{self.ports['prefect']}"),
            ("/etc/ssl/prefect/fullchain.pem", str(certificate)),
            ("/etc/ssl/prefect/privkey.pem", str(key)),
        ):
            assert said in text, said
            text = text.replace(said, here)
        (at / "prefect.conf").write_text(text)
        (at / "nginx.conf").write_text(
            f"pid {at}/pid; error_log stderr; worker_processes 1; events {{ }}\n"
            f"http {{ access_log off; include {at}/prefect.conf; "
            + " ".join(
                f"{name}_temp_path {at}/{name};"
                for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + " }\n"
        )
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx"
        (words,) = due("server", UNITS, "TLS")
        argv = [program, "-c", f"{at}/nginx.conf", "-e", "stderr"]
        subprocess.run([*argv, *words[1:]], check=True, capture_output=True, timeout=60)
        self.start("nginx", [*argv, "-g", "daemon off;"])
        return ssl.create_default_context(cafile=str(certificate))

    def found_federation(self) -> None:
        """A federation whose drop-box is a folder that the worker's unit may write."""
        box = self.folder / "lib-hyperfed" / "box"
        box.mkdir(parents=True, exist_ok=True)
        names = ("output", "employment", "unemployment")
        federation = SmallFederation(
            store=FilesystemStore(box),
            vocabulary=Vocabulary.of(*names, domain="state"),
            genesis=datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0),
        )
        federation.coordinator.save(self.settings / "coordinator.key")
        (self.settings / "coordinator.key").chmod(0o400)
        (self.settings / "hyperfed.toml").write_text(
            '[store]\nurl = "file:///var/lib/hyperfed/box"\n'
            f'[federation]\nfingerprint = "{federation.fingerprint}"\n'
            '[coordinator]\nkey = "/etc/hyperfed/coordinator.key"\n'
        )

    def read_into_shell(self, words: list[str]) -> None:
        """What puts worker.env into root's shell, which must give what systemd gives the unit."""
        file = self.folder / "worker.env"
        file.write_text(block("/etc/hyperfed/worker.env"))
        line = " ".join(words).replace("/etc/hyperfed/worker.env", str(file))
        shown = subprocess.check_output(["sh", "-ec", f"{line}; env"], text=True, timeout=60)
        for setting in file.read_text().splitlines():
            assert setting in shown.splitlines(), setting

    def once(self, words: list[str]) -> list[str]:
        """The command line of `systemd-run`, with its user's unit around it."""
        at = next(i for i, word in enumerate(words) if word.startswith("/"))
        (user,) = [w.removeprefix("--uid=") for w in words[:at] if w.startswith("--uid=")]
        own = dict(
            w.removeprefix("--setenv=").split("=", 1)
            for w in words[:at]
            if w.startswith("--setenv=")
        )
        part = {"prefect": "server", "hyperfed": "worker"}[user]
        assert f"--property=EnvironmentFile=/etc/hyperfed/{part}.env" in words
        return self.inside(part, words[at:], own)

    def healthy(self) -> bool:
        with suppress(URLError, OSError):
            return self.api("/api/health", self.context) is True
        return False

    def api(self, path: str, context: ssl.SSLContext | None, body: Any = None) -> Any:
        headers = {
            "content-type": "application/json",
            "authorization": "Basic " + b64encode(LOGIN.encode()).decode(),
        }
        url = f"https://localhost:{self.ports['tls']}{path}"
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(url, data, headers), timeout=30, context=context) as answer:
            return json.loads(answer.read())


@pytest.fixture
def server(open_folder: Path) -> Iterator[Server]:
    with ExitStack() as stack:
        database = stack.enter_context(cluster("postgres"))
        if database is None and "HYPERFED_CI" not in os.environ:
            pytest.skip("PostgreSQL is not here")
        assert database is not None
        yield Server(open_folder, database, stack)


@NEEDS_BUBBLEWRAP
@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("nginx", path="/usr/sbin:/usr/bin") is None and "HYPERFED_CI" not in os.environ,
    reason="nginx is not here",
)
def test_the_units_run_behind_tls_and_the_database_comes_back_from_its_dump(server: Server) -> None:
    from websockets.sync.client import connect

    for words in due("server", UNITS, "The database"):
        server.follow(words)
    process = server.start("server", server.unit("server"))
    context = server.context = server.start_nginx()
    eventually(server.healthy, process.log_end)
    said = server.api("/ui-settings", context)
    assert said["api_url"] == "https://prefect.example/api", "a browser asks by TLS, too"
    socket = f"wss://localhost:{server.ports['tls']}/api/events/out"
    with connect(socket, ssl=context, subprotocols=["prefect"]) as opened:  # type: ignore[list-item]
        opened.send(json.dumps({"type": "auth", "token": LOGIN}))
        assert json.loads(opened.recv(timeout=30))["type"] == "auth_success"

    server.environments["worker"]["PREFECT_API_SSL_CERT_FILE"] = "/etc/hyperfed/ours.pem"
    server.found_federation()
    worked = done(server.unit("worker", "--once"))
    assert worked.returncode == 0, worked.stdout + worked.stderr
    pools, deployed = "select name, type from work_pool", "select count(*) from deployment"
    assert server.ask(pools) == "hyperfed|process"
    process = followed(server, "Start", process)
    assert int(server.ask(deployed)) > 3
    process = followed(server, "Back up and restore", process)
    assert server.ask(pools) == "hyperfed|process"
    process = followed(server, "Upgrade", process)
    assert server.ask("select count(*) from alembic_version") == "1"
    assert int(server.ask(deployed)) > 3


def done(argv: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False)


def followed(server: Server, title: str, process: Process) -> Process:
    """Follow a section's lines, and return the server's process after them."""
    for words in due("server", UNITS, title):
        match words:
            case ["systemctl", "stop", *_]:
                process.stop()
            case ["systemctl", "start", *units]:
                if "hyperfed-server" in units:
                    process = server.start("server", server.unit("server"))
                    eventually(server.healthy, process.log_end)
                else:
                    worked = done(server.unit("worker", "--once"))
                    assert worked.returncode == 0, worked.stdout + worked.stderr
            case ["runuser", *_]:
                server.follow(words)
            case ["set", *_]:
                server.read_into_shell(words)
            case ["hyperfed", *options]:
                ran = done(server.inside("worker", [str(BIN / "hyperfed"), *options]))
                assert ran.returncode == 0, ran.stdout + ran.stderr
            case ["systemd-run", *_]:
                ran = done(server.once(words))
                # whether a night can go well is not what is tested here
                assert ran.returncode in ((0, 1, 2) if "check" in words else (0,)), ran.stderr
                assert "check" not in words or ran.stdout.startswith("HYPERFED "), ran.stdout
            case _:
                raise AssertionError(f"nothing says how to follow {words}")
    return process
