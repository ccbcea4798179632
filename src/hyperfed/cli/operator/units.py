"""Write the systemd units of a coordinator: Prefect's server, the worker, and their two users.

1. Server and worker run as different system users. Whoever may use Prefect's API or database is a
   party that is not trusted (docs/threat-model.md), so the server's user cannot read the
   coordinator's key.
2. Everything is read-only to a unit except its own state, cache and temporary folder. It gets no
   capability, no device and no home folder.
3. Secrets come from environment files that root alone reads, and from key files below the folder of
   settings; no unit holds one.
4. A unit is started again whenever it ends, without a limit: a server, a database or a network that
   comes up late needs nobody's help.
5. On SIGTERM systemd tells the main process alone, because a worker ends its runs by itself.

What it does not do: start anything, or make users. `systemd-sysusers` and `systemctl` do.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperfed.cli.systemd import check_words, systemd_command
from hyperfed.errors import ConfigError
from hyperfed.storage.local_files import write_durably

__all__ = ["PARTS", "Installation", "unit_files", "write_files"]

PARTS = {"server": "Prefect server", "worker": "Hyperfed worker"}
"""The units, each with its name in words."""
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - hidden from units

_USERS = "# What systemd-sysusers makes: a system user for each unit."
_USER = 'u {user} - "{what}" /var/lib/{user}'

_UNIT = """[Unit]
Description={what}
Wants=network-online.target
After=network-online.target {after}
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
Group={user}
{environment}
EnvironmentFile={environment_file}
ExecStart={command}
WorkingDirectory=/var/lib/{user}
StateDirectory={user}
StateDirectoryMode=0700
CacheDirectory={user}
CacheDirectoryMode=0700
UMask=0077
Restart=always
RestartSec=10
KillMode=mixed
TimeoutStopSec=60

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Says where a coordinator lies on the machine that runs it."""

    checkout: Path
    """The clone with its .venv, which `make setup` has made."""
    settings: Path
    """The folder of hyperfed.toml, the keys, server.env and worker.env."""
    server_user: str
    """The system user of Prefect's server."""
    worker_user: str
    """The system user of the worker."""
    port: int
    """The port of Prefect's server on the loopback address."""

    def __post_init__(self) -> None:
        """Raise ConfigError for a folder that units cannot see, and for one user for both."""
        for option, folder in (("--checkout", self.checkout), ("--settings", self.settings)):
            hidden = [at for at in _HIDDEN if folder.is_relative_to(at)]
            if hidden or not folder.is_absolute():
                raise ConfigError(
                    f"units do not see what lies below {hidden[0]}"
                    if hidden
                    else "units need the whole path",
                    subject=f"{option} {folder}",
                    remedy="Clone to /opt/hyperfed and keep settings in /etc/hyperfed, or name "
                    "where they will be",
                )
        for option, user in self._users.items():
            if re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", user) is None:
                raise ConfigError(
                    "is no name of a system user",
                    subject=f"{option} {ascii(user)[:60]}",
                    remedy="Use up to 31 lower-case letters, digits, - and _, a letter first",
                )
        if self.server_user == self.worker_user:
            raise ConfigError(
                "the server would run as the user who can read the coordinator's key",
                subject=f"user {self.server_user}",
                remedy="Give --server-user and --worker-user two names",
            )
        check_words([str(self.checkout), str(self.settings)])

    @property
    def _users(self) -> dict[str, str]:
        return {"--server-user": self.server_user, "--worker-user": self.worker_user}


def unit_files(installation: Installation, parts: Sequence[str] = tuple(PARTS)) -> dict[str, str]:
    """Return path -> text of the files that `parts` need."""
    users = {"server": installation.server_user, "worker": installation.worker_user}
    lines = [_USERS, *(_USER.format(user=users[part], what=PARTS[part]) for part in parts)]
    files = {"/etc/sysusers.d/hyperfed.conf": "\n".join(lines) + "\n"}
    for part in parts:
        text = _server(installation) if part == "server" else _worker(installation)
        files[f"/etc/systemd/system/hyperfed-{part}.service"] = text
    return files


def write_files(files: Mapping[str, str], root: Path) -> list[str]:
    """Write each text to its path below `root`, readable by all, and return where each lies.

    Raises ConfigError where that is not possible.
    """
    remedy = "Run it as root, or leave --write out and copy what it prints"
    written = []
    for path, content in files.items():
        file = root / path.removeprefix("/")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise ConfigError(
                f"cannot be made: {exc.strerror}", subject=str(file.parent), remedy=remedy
            ) from exc
        write_durably(file, content, error=ConfigError, remedy=remedy, mode=0o644)
        written.append(str(file))
    return written


def _server(installation: Installation) -> str:
    user = installation.server_user
    return _UNIT.format(
        what=PARTS["server"],
        after="postgresql.service",
        user=user,
        environment=_environment(
            PREFECT_HOME=f"/var/lib/{user}",
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            DO_NOT_TRACK="1",
        ),
        environment_file=_path(installation.settings / "server.env"),
        command=systemd_command(
            [
                f"{installation.checkout}/.venv/bin/prefect",
                *("server", "start", "--host", "127.0.0.1", "--port", str(installation.port)),
            ]
        ),
    )


def _worker(installation: Installation) -> str:
    user = installation.worker_user
    return _UNIT.format(
        what=PARTS["worker"],
        after="hyperfed-server.service",
        user=user,
        environment=_environment(
            PREFECT_HOME=f"/var/lib/{user}/prefect",
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY="30",
            HYPERFED_STATE=f"/var/lib/{user}/state",
            HYPERFED_CACHE=f"/var/cache/{user}",
            DO_NOT_TRACK="1",
        ),
        environment_file=_path(installation.settings / "worker.env"),
        command=systemd_command(
            [
                f"{installation.checkout}/.venv/bin/hyperfed",
                *("service", "worker", "--config", f"{installation.settings}/hyperfed.toml"),
            ]
        ),
    )


def _environment(**variables: str) -> str:
    return "\n".join(f"Environment={name}={value}" for name, value in variables.items())


def _path(path: Path) -> str:
    """Return a path as a setting that takes one has it: without quotes, "%" doubled."""
    return str(path).replace("%", "%%")
