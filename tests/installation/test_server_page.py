"""docs/server.md as it is followed: PostgreSQL with a role that is no superuser, the units' own
command lines under bubblewrap, nginx before the server, a dump and the way back, and buckets of
AWS's form (moto) and of SeaweedFS.

1. Lines are taken from the page, in their order, by section. What stands for something is replaced:
   addresses, ports, and the folder /opt/hyperfed by this checkout.
2. What the page says is not run (`NOT_RUN`) is read by a shell's rules all the same.
3. `aws` lines are read by the models that the command itself is made from (botocore's).
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
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import botocore.session
import pytest
from botocore import xform_name

from hyperfed.cli.operator.units import Installation, unit_files
from hyperfed.dev.processes import Process
from hyperfed.operations.access import Role, access_of, aws_policy, seaweedfs_actions
from hyperfed.relay.certificates import make_certificate
from hyperfed.testing.seaweedfs import ADMIN_ACTIONS, SeaweedFS, free_ports
from tests.installation.postgres import Cluster, cluster
from tests.installation.sandbox import NEEDS_BUBBLEWRAP, sandboxed
from tests.waiting import eventually

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "server.md").read_text()
BIN = Path(sys.executable).parent
LOGIN = "operator:a-long-secret"
NOT_RUN = (
    "apt-get",
    "git",
    "make",
    "ln",
    "install",
    "cp",
    "systemctl",
    "systemd-run",
    "journalctl",
)
NOT_RUN += ("mc", "radosgw-admin", "systemd-sysusers", "hyperfed")
RUN = ("runuser", "nginx", "aws")
SECTIONS = re.findall(r"^##+ (.*)$", PAGE, re.MULTILINE)


def section(title: str) -> str:
    return re.split(r"^##+ ", PAGE.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def commands(title: str) -> list[list[str]]:
    """The lines of a section that a shell would run, each as its words."""
    lines = re.findall(r"^ {4}([a-z][a-z-]* .*|systemd-sysusers)$", section(title), re.MULTILINE)
    return [shlex.split(line) for line in lines]


def block(name: str) -> str:
    """The indented lines after the words that name them."""
    found = re.search(rf"`[^`]*{re.escape(name)}`[^\n]*:\n\n((?: {{4}}.*\n)+)", PAGE)
    assert found is not None, name
    return re.sub(r"^ {4}", "", found[1], flags=re.MULTILINE)


def test_the_page_has_no_line_of_which_it_is_not_known_whether_it_is_run() -> None:
    words = {title: commands(title) for title in SECTIONS}
    assert {w[0] for lines in words.values() for w in lines} == {*RUN, *NOT_RUN}
    assert sum(len(lines) for lines in words.values()) > 50
    # what nothing here can run, as far as this machine can read it
    for line in (w for lines in words.values() for w in lines if w[0] == "systemd-run"):
        assert line[1:3] == ["--wait", "--pipe"]
        assert line[3:5] in (
            ["--uid=prefect", "--property=EnvironmentFile=/etc/hyperfed/server.env"],
            ["--uid=hyperfed", "--property=EnvironmentFile=/etc/hyperfed/worker.env"],
        )
    for store in ("MinIO", "Ceph"):
        said = " ".join(" ".join(line) for line in words[store])
        assert f"--format {store.lower()} > coordinator.json" in said


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


@pytest.mark.slow
def test_the_bucket_of_aws(tmp_path: Path) -> None:
    from moto import mock_aws

    policy = aws_policy(access_of(Role.COORDINATOR), bucket="fed")
    (tmp_path / "coordinator.json").write_text(json.dumps(policy))
    (tmp_path / "lifecycle.json").write_text(block("lifecycle.json"))
    with mock_aws():
        for words in commands("AWS"):
            if words[0] == "aws":
                answer = aws(words[1:], tmp_path, region_name="eu-central-1")
        assert answer["AccessKey"]["SecretAccessKey"], "the last line prints the key"
        bucket = ["--bucket", "fed"]
        for ask, expected in (
            ("get-bucket-versioning", "Enabled"),
            ("get-public-access-block", "'RestrictPublicBuckets': True"),
            ("get-bucket-lifecycle-configuration", "'NoncurrentDays': 30"),
        ):
            said = aws(["s3api", ask, *bucket], tmp_path, region_name="eu-central-1")
            assert expected in str(said), said
        asked = ["iam", "get-user-policy", "--user-name", "fed-coordinator", "--policy-name", "fed"]
        said = aws(asked, tmp_path, region_name="eu-central-1")
        assert said["PolicyDocument"] == policy


@pytest.mark.slow
@pytest.mark.seaweedfs
def test_a_bucket_of_seaweedfs_keeps_what_was_overwritten_and_creates_once(tmp_path: Path) -> None:
    (tmp_path / "lifecycle.json").write_text(block("lifecycle.json"))
    actions = seaweedfs_actions(access_of(Role.COORDINATOR), bucket="fed")
    identities = json.loads(block("identities.json"))["identities"]
    assert {i["name"]: i["actions"] for i in identities} == {
        "admin": list(ADMIN_ACTIONS),
        "coordinator": actions,
    }
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "identities.json").write_text(block("identities.json"))
    with SeaweedFS(tmp_path / "data", identities={"coordinator": actions}) as server:
        assert server.credentials("coordinator").access_key == "COORDINATOR"
        admin = {
            "endpoint_url": server.endpoint_url,
            "region_name": "us-east-1",
            "access_key": server.credentials().access_key,
            "secret_key": server.credentials().secret_key,
        }
        for words in commands("SeaweedFS"):
            if words[0] == "aws":
                aws(words[1:], tmp_path, **admin)
        store = server.store("fed", identity="coordinator", create=False)
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
        self.environments = {name: self.with_addresses(name) for name in ("server", "worker")}

    def with_addresses(self, name: str) -> dict[str, str]:
        """An environment file of the page, with this machine's addresses."""
        text = block(f"{name}.env").replace(
            "?host=/run/postgresql", f"?host={self.database.folder}&port={self.database.port}"
        )
        text = text.replace(
            "http://127.0.0.1:4200/api", f"https://localhost:{self.ports['tls']}/api"
        )
        return dict(line.split("=", 1) for line in text.splitlines())

    def unit(self, part: str, *more: str) -> list[str]:
        """The command line of a unit, with what it sees of this machine."""
        text = self.files[f"/etc/systemd/system/hyperfed-{part}.service"]
        user = re.findall("^User=(.*)$", text, re.MULTILINE)[0]
        (command,) = re.findall("^ExecStart=(.*)$", text, re.MULTILINE)
        writable = {}
        for kind in ("lib", "cache"):
            writable[f"/var/{kind}/{user}"] = self.folder / f"{kind}-{user}"
            writable[f"/var/{kind}/{user}"].mkdir(exist_ok=True)
        own = [line.split("=", 1) for line in re.findall("^Environment=(.*)$", text, re.MULTILINE)]
        return sandboxed(
            [*shlex.split(command.replace("/opt/hyperfed/.venv/bin", str(BIN))), *more],
            environment={
                "HOME": f"/var/lib/{user}",
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                **dict(own),
                **self.environments[part],
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
        (words,) = [words for words in commands("TLS") if words[0] == "nginx"]
        argv = [program, "-c", f"{at}/nginx.conf", "-e", "stderr"]
        subprocess.run([*argv, *words[1:]], check=True, capture_output=True, timeout=60)
        self.start("nginx", [*argv, "-g", "daemon off;"])
        return ssl.create_default_context(cafile=str(certificate))

    def api(self, path: str, context: ssl.SSLContext, body: Any = None) -> Any:
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

    for words in commands("The database"):
        server.follow(words)
    process = server.start("server", server.unit("server"))
    context = server.start_nginx()

    def healthy() -> bool:
        assert process.running, process.log_end()
        with suppress(URLError, OSError):
            return server.api("/api/health", context) is True
        return False

    eventually(healthy, process.log_end)
    said = server.api("/ui-settings", context)
    assert said["api_url"] == "https://prefect.example/api", "a browser asks by TLS, too"
    socket = f"wss://localhost:{server.ports['tls']}/api/events/out"
    with connect(socket, ssl=context, subprotocols=["prefect"]) as opened:  # type: ignore[list-item]
        opened.send(json.dumps({"type": "auth", "token": LOGIN}))
        assert json.loads(opened.recv(timeout=30))["type"] == "auth_success"

    (server.settings / "hyperfed.toml").write_text('[store]\nurl = "file:///mnt/share"\n')
    server.environments["worker"]["PREFECT_API_SSL_CERT_FILE"] = "/etc/hyperfed/ours.pem"
    worked = subprocess.run(
        server.unit("worker", "--once"), capture_output=True, text=True, timeout=180, check=False
    )
    assert worked.returncode == 0, worked.stdout + worked.stderr
    pools = "select name, type from work_pool"
    assert server.ask(pools) == "hyperfed|process"

    for words in commands("Back up and restore"):
        if words[0] == "systemctl" and words[1] == "stop":
            process.stop()
        elif words[0] == "runuser":
            server.follow(words)
    assert server.ask(pools) == "hyperfed|process"
    (upgrade,) = [w for w in commands("Upgrade") if w[0] == "systemd-run"]
    command = upgrade[upgrade.index("/opt/hyperfed/.venv/bin/prefect") + 1 :]
    upgraded = subprocess.run(
        [str(BIN / "prefect"), *command],
        env={
            **os.environ,
            **server.environments["server"],
            "PREFECT_HOME": str(server.folder / "h"),
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr
    assert server.ask("select count(*) from alembic_version") == "1"
