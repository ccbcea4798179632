"""Say of each line of docs/server.md and docs/containers.md how it is run here, or why it is not.

1. A line is known by how it begins; the longest beginning counts. What no entry knows is a line of
   which nobody has said whether it is run, and a test fails.
2. A test takes its lines from here (`due`): what an entry gives to a test is what that test runs.
3. `instead` says what is run in a line's place where the line itself cannot be.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
MACHINE = "test_server_machine::test_the_page_is_followed_below_a_root_folder"
UNITS = "test_server_page::test_the_units_run_behind_tls_and_the_database_comes_back_from_its_dump"
BUCKET = "test_server_page::test_the_bucket_of_aws_and_of_ceph"
SEAWEEDFS = (
    "test_server_page::test_a_bucket_of_seaweedfs_keeps_what_was_overwritten_and_creates_once"
)
STACK = "test_containers::test_server_and_worker_start_with_secrets_from_files"
NIGHT = "test_containers::test_a_night_with_the_images_own_scripts_and_limits"

SECTIONS = {
    UNITS: ("The database", "TLS", "Start", "Back up and restore", "Upgrade"),
    BUCKET: ("AWS", "Ceph", "MinIO"),
    SEAWEEDFS: ("SeaweedFS",),
}
"""The sections that a test follows; a test that is not here follows its whole page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How lines that begin alike are run."""

    tests: tuple[str, ...] = ()
    """The tests that run them; empty where nothing does."""
    instead: str = ""
    """What is run in their place, or why nothing is; empty where they are run as they stand."""


def run(*tests: str, instead: str = "") -> Line:
    return Line(tests=tests, instead=instead)


def not_run(reason: str) -> Line:
    return Line(instead=reason)


SERVER = {
    "apt-get install": not_run("it would change this machine; .ci/run installs such packages"),
    "git clone": run(MACHINE, instead="of a local repository, to a folder below ROOT"),
    "git -C /opt/hyperfed fetch": run(MACHINE, instead="below ROOT"),
    "git -C /opt/hyperfed checkout": run(MACHINE, instead="below ROOT, of the repository's tags"),
    "make -C /opt/hyperfed setup": run(
        MACHINE, instead="with --dry-run: every run of the tests begins with `make setup`"
    ),
    "ln": run(MACHINE, instead="below ROOT"),
    "hyperfed service units": run(MACHINE, instead="--write ROOT --checkout /opt/hyperfed"),
    "systemd-sysusers": run(MACHINE, instead="--root=ROOT"),
    "install": run(MACHINE, instead="below ROOT, with the numbers of ROOT's users"),
    "cp": run(MACHINE, instead="below ROOT"),
    "systemctl daemon-reload": run(MACHINE, instead="systemd-analyze verify --root=ROOT"),
    "systemctl enable": run(
        MACHINE,
        instead="systemctl --root=ROOT enable; the units' command lines are started by "
        "the test of `systemctl start`",
    ),
    "systemctl start": run(UNITS, instead="the unit's command line, under bubblewrap"),
    "set": run(UNITS, instead="by a shell, which then has what the worker's unit has"),
    "weed server": run(SEAWEEDFS, instead="with free ports, and its folders below the test's"),
    "systemctl stop": run(UNITS, instead="SIGTERM to the unit's process"),
    "systemctl reload": not_run("no service runs here; `nginx -t` and nginx read the same file"),
    "systemd-run": run(
        MACHINE,
        UNITS,
        instead="its options as a unit, by systemd-analyze verify; its command line by itself",
    ),
    "journalctl": not_run("there is no journal without systemd"),
    "runuser": run(UNITS, instead="its command line, as PostgreSQL's user of that name"),
    "nginx -t": run(UNITS, instead="with the example in a configuration of its own"),
    "hyperfed service install": run(UNITS, instead="with the worker's unit around it"),
    "hyperfed iam --role coordinator --store s3://fed >": run(BUCKET),
    "hyperfed iam --role coordinator --store s3://fed --format seaweedfs": run(SEAWEEDFS),
    "hyperfed iam --role coordinator --store s3://fed --format ceph": run(BUCKET),
    "hyperfed iam --role coordinator --store s3://fed --format minio": run(BUCKET),
    "aws": run(BUCKET, SEAWEEDFS, instead="by the models that the command is made from"),
    "mc": not_run("MinIO and its client are in no package here"),
    "radosgw-admin": not_run("Ceph needs a cluster of its own"),
}
CONTAINERS = {
    "docker build": not_run("no engine is here; hadolint reads the files"),
    "docker run": run(NIGHT, instead="the image's entrypoint script, under bubblewrap"),
    "docker compose -f deployments/docker/compose.yaml up": run(
        STACK, instead="each service's command line, under bubblewrap"
    ),
    "docker compose -f deployments/docker/compose.yaml run --rm worker": run(
        STACK, instead="the words after the service, by the image's entrypoint script"
    ),
    "chgrp": not_run("the sandbox has one group; files get mode 0440 there"),
    "chmod": not_run("the test's files get that mode when they are made"),
}
PAGES = {"server": SERVER, "containers": CONTAINERS}
PROGRAMS = re.compile(r"^ {4}((?:[a-z][a-z-]* .*)|systemd-sysusers)$", re.MULTILINE)


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def section(name: str, title: str) -> str:
    rest = page(name).split(f"# {title}\n", 1)[1]
    return re.split(r"^##+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def sections(name: str) -> list[str]:
    return re.findall(r"^##+ (.*)$", page(name), re.MULTILINE)


def lines(name: str, title: str = "") -> list[str]:
    """The lines of a page, or of one of its sections, that a shell would run."""
    text = section(name, title) if title else page(name)
    return [found[1] for found in PROGRAMS.finditer(text) if not _is_a_file(found[1])]


def _is_a_file(line: str) -> bool:
    """Whether it is of a file: a name, blanks, and what it holds; or a setting."""
    return re.match(r"[a-z/_.]+ ( +|= )", line) is not None


def beginning(name: str, line: str) -> str:
    """The longest beginning that the page's table has for a line, or ""."""
    known = [b for b in PAGES[name] if line == b or line.startswith(f"{b} ")]
    return max(known, key=len, default="")


def due(name: str, test: str, title: str = "") -> list[list[str]]:
    """The lines that a test runs, of its whole page or of one section, each as its words."""
    assert not title or title in SECTIONS.get(test, (title,)), f"{test} does not follow {title}"
    return [shlex.split(line) for line in lines(name, title) if test in takers(name, line, title)]


def takers(name: str, line: str, title: str) -> list[str]:
    """The tests that run a line of a section."""
    tests = PAGES[name][beginning(name, line)].tests
    return [test for test in tests if not title or title in SECTIONS.get(test, (title,))]
