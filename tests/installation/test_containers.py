"""deployments/docker without a container engine: its files are read by their linters, and the
images' entrypoint scripts run under bubblewrap with the compose file's limits (no HOME, no user in
/etc/passwd, a read-only root, a small /tmp, keys of mode 0440, LC_ALL=C, a zone with half hours).

No image is built here.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hyperfed.dev.processes import Process
from hyperfed.errors import HyperfedError
from hyperfed.storage.s3 import S3Credentials, S3Store
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.seaweedfs import free_ports
from tests.installation.page_lines import NIGHT, STACK, due
from tests.installation.postgres import cluster
from tests.installation.sandbox import NEEDS_BUBBLEWRAP, sandboxed
from tests.waiting import eventually

CHECKOUT = Path(__file__).parents[2]
DOCKER = CHECKOUT / "deployments" / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
BIN = Path(sys.executable).parent
IMAGES = ("client", "coordinator")
USER = 10_001
LIMITS = {"TZ": "America/St_Johns", "LC_ALL": "C", "TMPDIR": "/tmp", "container": "oci"}  # noqa: S108


def dockerfile(image: str) -> str:
    return (DOCKER / f"{image}.Dockerfile").read_text()


# -- what is read ----------------------------------------------------------------------------------


@pytest.mark.parametrize("image", IMAGES)
def test_hadolint_finds_nothing_and_would_find_something(tmp_path: Path, image: str) -> None:
    worse = tmp_path / "Dockerfile"
    worse.write_text(dockerfile(image).replace("3.12-slim-bookworm", "latest"))
    found = [
        subprocess.run([BIN / "hadolint", path], capture_output=True, text=True, timeout=60)
        for path in (DOCKER / f"{image}.Dockerfile", worse)
    ]
    assert (found[0].returncode, found[0].stdout) == (0, "")
    assert "DL3007" in found[1].stdout


@pytest.mark.filterwarnings("ignore:The metaschema specified by:DeprecationWarning")
def test_the_compose_file_keeps_to_its_schema(tmp_path: Path) -> None:
    from check_jsonschema import main as check_jsonschema

    worse = tmp_path / "compose.yaml"
    worse.write_text((DOCKER / "compose.yaml").read_text().replace("cap_drop", "cap_dropped"))
    for path, code in ((DOCKER / "compose.yaml", 0), (worse, 1)):
        with pytest.raises(SystemExit) as ended:
            check_jsonschema(["--builtin-schema", "vendor.compose-spec", str(path)])
        assert ended.value.code == code, path


def test_no_service_has_more_than_it_needs() -> None:
    assert set(COMPOSE["services"]) == {"postgres", "server", "worker", "seaweedfs"}
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["user"].split(":")[0]) > 0, name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name}: TLS is a proxy's"
        text = json.dumps(service.get("environment", {}))
        assert not re.search(r"AUTH_STRING|PASSWORD\"|PASSPHRASE", text), f"{name}: no secret"
    (settings,) = [v for v in COMPOSE["services"]["worker"]["volumes"] if v.startswith("./")]
    assert settings.endswith(":ro"), "a key on a mount that can be written is refused (R-20)"
    server = COMPOSE["services"]["server"]
    assert not any("settings" in volume for volume in server["volumes"]), "no key for the server"
    assert COMPOSE["networks"]["database"] == {"internal": True}
    for needed, service in COMPOSE["services"].items():
        assert needed == "worker" or "healthcheck" in service, needed
    for awaited in COMPOSE["services"]["worker"]["depends_on"].values():
        assert awaited == {"condition": "service_healthy"}
    store = {n for n, s in COMPOSE["services"].items() if "store" in s["networks"]}
    assert store == {"worker", "seaweedfs"}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_takes_only_what_is_there_and_no_key_and_ends_as_nobody(image: str) -> None:
    ignored = (CHECKOUT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    text = dockerfile(image)
    sources = [
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)
        for word in line.split()[:-1]
        if not word.startswith("--")
    ]
    for source in sources:
        assert (CHECKOUT / source).exists(), source
        allowed = [line[1:] for line in ignored if line.startswith("!")]
        assert any(Path(source).match(pattern) for pattern in allowed), source
    final = text.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.*)$", final, re.MULTILINE) == [f"{USER}:{USER}"]
    assert "HOME=" not in final.replace("PREFECT_HOME=", "")
    assert "\n    container=oci \\\n" in final
    extras = re.findall(r"\.\[([a-z,]+)\]", text)
    assert extras == ([] if image == "client" else ["coordinator,compiled,privacy"])


# -- what runs -------------------------------------------------------------------------------------


def script(
    image: str, *arguments: str, folder: Path, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """An entrypoint outside any sandbox, where nothing is mounted."""
    paths = {
        "HYPERFED_CONFIG": f"{folder}/hyperfed.toml",
        "HYPERFED_STATE": f"{folder}/state",
        "HYPERFED_LOGIN_FILE": f"{folder}/login",
        "HYPERFED_DATABASE_PASSWORD_FILE": f"{folder}/password",
        "PREFECT_HOME": f"{folder}/state/prefect",
        "PATH": "/usr/bin:/bin",
    }
    return subprocess.run(
        ["/bin/sh", str(DOCKER / f"{image}.sh"), *arguments],
        env=paths | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("image", "arguments", "missing"),
    [
        ("client", ("status",), "hyperfed.toml"),
        ("client", ("night",), "state"),
        ("coordinator", ("worker",), "login"),
        ("coordinator", ("worker",), "hyperfed.toml"),
        ("coordinator", ("server",), "password"),
        ("coordinator", ("audit",), "state"),
    ],
)
def test_a_mount_that_is_missing_is_named_with_what_to_do(
    tmp_path: Path, image: str, arguments: tuple[str, ...], missing: str
) -> None:
    for name, text in (("hyperfed.toml", ""), ("login", "a:b"), ("password", "p")):
        if name != missing:
            (tmp_path / name).write_text(text)
    if missing == "state":
        (tmp_path / "state").touch()  # no folder can be made there
    done = script(image, *arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path}/{missing}" in done.stderr
    assert "mount" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_login_without_a_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "login").write_text("only-a-secret\n")
    done = script("coordinator", "worker", folder=tmp_path)
    assert done.returncode == 2
    assert "NAME:SECRET" in done.stderr
    assert "only-a-secret" not in done.stderr


class Host:
    """A machine with the compose file's services, without an engine."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        names = ["prefect", "s3", "master", "volume", "filer"]
        self.ports = free_ports([*names, *(f"{name}.grpc" for name in names[1:])])
        (folder / "secrets").mkdir()
        self.keys = {n: S3Credentials(access_key=n, secret_key=f"{n}-secret") for n in ("admin",)}

    def secret(self, name: str, text: str) -> None:
        path = self.folder / "secrets" / name
        path.write_text(text)
        path.chmod(0o440)

    def container(
        self,
        service: str,
        argv: list[str],
        *,
        settings: Path | None = None,
        settings_writable: bool = False,
        **more: str,
    ) -> list[str]:
        """The command line that runs `argv` with a service's limits, volume and secrets."""
        volume = self.folder / f"volume-{service}"
        volume.mkdir(exist_ok=True)
        image = "client" if service == "client" else "coordinator"
        said = dict(
            re.findall(r"^    ([A-Z_a-z]+)=(\S+?)(?: \\)?$", dockerfile(image), re.MULTILINE)
        )
        read_only = {"/run/secrets": self.folder / "secrets"}
        writable = {"/var/lib/hyperfed": volume}
        if settings is not None:
            (writable if settings_writable else read_only)["/etc/hyperfed"] = settings
        if service == "client":
            read_only = {"/data": self.folder / "data", **read_only}
            read_only.pop("/run/secrets")
        return sandboxed(
            argv,
            environment={**said, **LIMITS, "PATH": f"{BIN}:/usr/bin:/bin", **more},
            read_only=read_only,
            writable=writable,
            folder="/var/lib/hyperfed",
            user=USER,
        )

    def start(self, service: str, argv: list[str], **more: str) -> Process:
        log = self.folder / f"{service}.log"
        command = self.container(service, argv, **more)
        made = Process(service, command, environment={}, log=log, cwd=self.folder)
        made.start()
        self.stack.callback(made.stop)
        return made

    def start_store(self) -> S3Store:
        """SeaweedFS by the compose file's words, on ports of its own."""
        keys = {"accessKey": "admin", "secretKey": "admin-secret"}
        identity = {"name": "admin", "credentials": [keys], "actions": ["Admin", "Read", "Write"]}
        self.secret("identities.json", json.dumps({"identities": [identity]}))
        service = COMPOSE["services"]["seaweedfs"]
        ports = [
            f"-{name}.port{'.grpc' if grpc else ''}={port}"
            for name, _, grpc in (n.partition(".") for n in self.ports)
            if name != "prefect"
            for port in (self.ports[f"{name}.{grpc}" if grpc else name],)
        ]
        argv = [*service["entrypoint"], *service["command"], *ports, "-ip=127.0.0.1"]
        process = self.start("seaweedfs", [*argv, "-ip.bind=127.0.0.1"])
        store = S3Store("fed", endpoint_url=self.endpoint, credentials=self.keys["admin"])
        self.stack.callback(store.close)

        def answers() -> bool:
            assert process.running, process.log_end()
            with suppress(HyperfedError):
                store.ensure_bucket()
                return True
            return False

        eventually(answers, process.log_end)
        return store

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3']}"

    def settings(self, name: str, text: str, *keys: tuple[str, Any]) -> Path:
        """A folder to mount, whose files have mode 0440."""
        folder = self.folder / name
        folder.mkdir()
        for file, pair in keys:
            pair.save(folder / file)
        (folder / "store.toml").write_text('access_key = "admin"\nsecret_key = "admin-secret"\n')
        (folder / "hyperfed.toml").write_text(
            f'[store]\nurl = "s3://fed"\nendpoint = "{self.endpoint}"\n'
            f'access_key_file = "store.toml"\n{text}'
        )
        for path in folder.iterdir():
            path.chmod(0o440)
        return folder

    def healthy(self, service: str, *, port: int) -> bool:
        """What a service's own health check says, in its container, of a port of this machine."""
        kind, *argv = COMPOSE["services"][service]["healthcheck"]["test"]
        assert kind == "CMD", "no shell has to be there"
        asked = [re.sub(r"(?<=127\.0\.0\.1:)\d+", str(port), word) for word in argv]
        assert asked != argv
        return self.run(self.container(service, asked)).returncode == 0

    def run(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture
def host(open_folder: Path) -> Iterator[Host]:
    with ExitStack() as stack:
        yield Host(open_folder, stack)


@NEEDS_BUBBLEWRAP
@pytest.mark.slow
@pytest.mark.seaweedfs
def test_a_night_with_the_images_own_scripts_and_limits(host: Host) -> None:
    nobody = free_ports(["nobody"])["nobody"]
    store = host.start_store()
    assert host.healthy("seaweedfs", port=host.ports["s3"])
    assert not host.healthy("seaweedfs", port=nobody)
    genesis = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    federation = SmallFederation(clients=1, store=store, genesis=genesis)
    trusted = f'[federation]\nfingerprint = "{federation.fingerprint}"\n'
    coordinator = host.settings(
        "coordinator-settings",
        f'{trusted}[coordinator]\nkey = "coordinator.key"\n[rounds]\nquorum = 1\n'
        'variables = ["heat", "load", "wear"]\n',
        ("coordinator.key", federation.coordinator),
    )
    entrypoint = ["/bin/sh", str(DOCKER / "coordinator.sh")]
    host.secret("prefect_login", "operator:a-long-secret\n")
    opening = [*entrypoint, "round", "open"]

    # a key that the container could write is one that others may have written
    loose = host.run(
        host.container("worker", opening, settings=coordinator, settings_writable=True)
    )
    assert loose.returncode == 2, loose.stdout + loose.stderr
    assert "R-20" in loose.stderr
    assert not list(store.list("rounds/"))
    opened = host.run(host.container("worker", opening, settings=coordinator))
    assert opened.returncode == 0, opened.stdout + opened.stderr

    client = host.settings(
        "client-settings",
        f'{trusted}[client]\nid = "site-01"\nkey = "site-01.key"\n'
        'memory = "/var/lib/hyperfed/site-01.memory.json"\n',
        ("site-01.key", federation.keys["site-01"]),
    )
    (host.folder / "data").mkdir()
    values = np.column_stack(
        [np.arange(1946, 2026), np.random.default_rng(3).normal(size=(80, 3)).cumsum(axis=0)]
    )
    header = "year,heat,load,wear"
    np.savetxt(
        host.folder / "data" / "series.csv", values, delimiter=",", header=header, comments=""
    )
    entry = ["/bin/sh", str(DOCKER / "client.sh")]
    (line,) = due("containers", NIGHT)
    night = [*entry, *line[line.index("hyperfed-client") + 1 :]]
    done = host.run(host.container("client", night, settings=client))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [info.key for info in store.list("inbox/")] == ["inbox/00000001/site-01/0"]
    said = host.run(host.container("client", [*entry, "status", "--json"], settings=client))
    assert said.returncode == 4, "sent, and not counted yet: " + said.stdout + said.stderr
    assert (host.folder / "volume-client" / "site-01.memory.json").is_file()


@NEEDS_BUBBLEWRAP
@pytest.mark.slow
@pytest.mark.seaweedfs
def test_server_and_worker_start_with_secrets_from_files(host: Host) -> None:
    password = "odd: p@ss/word%"
    database = host.stack.enter_context(cluster("prefect", password=password))
    if database is None:
        assert "HYPERFED_CI" not in os.environ
        pytest.skip("PostgreSQL is not here")
    database.run("createdb", "-U", "prefect", "prefect")
    up, install = due("containers", STACK)
    assert up[-2:] == ["up", "-d"]
    names = ("output", "employment", "unemployment")
    federation = SmallFederation(
        store=host.start_store(),
        vocabulary=Vocabulary.of(*names, domain="state"),
        genesis=datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0),
    )
    host.secret("prefect_login", "operator:a-long-secret\n")
    host.secret("postgres_password", password)
    entrypoint = ["/bin/sh", str(DOCKER / "coordinator.sh")]
    assert shutil.which("prefect", path=BIN)
    server = host.start(
        "server",
        [*entrypoint, *COMPOSE["services"]["server"]["command"]],
        HYPERFED_SERVER_HOST="127.0.0.1",
        HYPERFED_SERVER_PORT=str(host.ports["prefect"]),
        PREFECT_SERVER_DATABASE_CONNECTION_URL=(
            f"postgresql+asyncpg://prefect@127.0.0.1:{database.port}/prefect"
        ),
    )
    settings = host.settings(
        "settings",
        f'[federation]\nfingerprint = "{federation.fingerprint}"\n'
        '[coordinator]\nkey = "coordinator.key"\n',
        ("coordinator.key", federation.coordinator),
    )

    def worker(*words: str) -> "subprocess.CompletedProcess[str]":
        address = f"http://127.0.0.1:{host.ports['prefect']}/api"
        argv = [*entrypoint, *words]
        return host.run(host.container("worker", argv, settings=settings, PREFECT_API_URL=address))

    def listens() -> bool:
        assert server.running, server.log_end()
        with suppress(OSError), socket.create_connection(("127.0.0.1", host.ports["prefect"]), 5):
            return True
        return False

    eventually(listens, server.log_end)
    eventually(lambda: host.healthy("server", port=host.ports["prefect"]), server.log_end)
    done = worker(*COMPOSE["services"]["worker"]["command"], "--once")
    assert done.returncode == 0, done.stdout + done.stderr

    def ask(query: str) -> str:
        return database.run("psql", "-U", "prefect", "-d", "prefect", "-Atc", query).strip()

    pools = ask("select name from work_pool")
    assert pools == "hyperfed", "the password came by its file, and the login was right"
    done = worker(*install[install.index("worker") + 1 :])
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(ask("select count(*) from deployment")) > 3
    database.stop()
    assert not host.healthy("server", port=host.ports["prefect"]), "it answers without a database"
