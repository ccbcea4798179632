"""docs/server.md below a root folder: a clone at a release's tag, the units with their users, and
what systemd's own tools say of them. Nothing is started, and nothing outside the folder changes.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.installation.page_lines import (
    DOCS,
    MACHINE,
    PAGES,
    SECTIONS,
    beginning,
    due,
    lines,
    page,
    section,
    sections,
    takers,
)

CHECKOUT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
WITH_SYSTEMD = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and "HYPERFED_CI" not in os.environ,
    reason="systemd is not here",
)


@pytest.mark.parametrize("name", PAGES)
def test_of_each_line_it_is_said_how_it_is_run(name: str) -> None:
    found = [beginning(name, line) for line in lines(name)]
    unknown = [line for line, known in zip(lines(name), found, strict=True) if not known]
    assert unknown == [], "page_lines.py says of each line which test runs it, or why none does"
    assert set(found) == set(PAGES[name]), "and has no entry that no line needs"
    for title in sections(name):
        for line in lines(name, title):
            tests = PAGES[name][beginning(name, line)].tests
            assert takers(name, line, title) or not tests, f"no test follows {title}: {line}"


@pytest.mark.parametrize("name", PAGES)
def test_the_tests_that_run_them_exist_and_each_gap_has_its_reason(name: str) -> None:
    for start, entry in PAGES[name].items():
        assert entry.tests or entry.instead, start
        for test in entry.tests:
            module, _, function = test.partition("::")
            source = Path(__file__).with_name(f"{module}.py").read_text()
            assert callable(getattr(import_module(f"tests.installation.{module}"), function)), test
            for title in SECTIONS.get(test, ()):
                assert f'"{title}"' in source, f"{test} does not follow {title}"
            constant = next(n for n, v in vars(sys.modules[due.__module__]).items() if v == test)
            assert re.search(rf'due\("{name}", {constant}\b', source), f"{test} takes no lines"


def test_no_page_upgrades_to_whatever_a_branch_holds() -> None:
    for file in (*DOCS.rglob("*.md"), CHECKOUT / "README.md"):
        assert "git pull" not in file.read_text(), file
        assert not re.search(r"git -C \S+ pull", file.read_text()), file


# -- the machine -----------------------------------------------------------------------------------


class Repository:
    """A bare repository of this checkout's files that the page needs, with releases' tags."""

    def __init__(self, folder: Path) -> None:
        self.bare, self._work = folder / "hyperfed.git", folder / "work"
        self._work.mkdir()
        for name in ("Makefile", "scripts", "deployments"):
            source = CHECKOUT / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, self._work / name)
        git(self._work, "init", "--quiet", "--initial-branch=main")
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        git(self._work, "remote", "add", "origin", str(self.bare))

    def commit(self, what: str, tag: str = "") -> None:
        (self._work / "VERSION").write_text(what)
        git(self._work, "add", "--all")
        git(self._work, "commit", "--quiet", "-m", what)
        if tag:
            git(self._work, "tag", "-a", "-m", tag, tag)
        git(self._work, "push", "--quiet", "--follow-tags", "origin", "main")


def git(folder: Path, *arguments: str) -> str:
    who = [
        "-c",
        "user.name=test",
        "-c",
        "user.email=test@example.org",
        "-c",
        "commit.gpgsign=false",
    ]
    return ran(["git", *who, "-c", "tag.gpgsign=false", *arguments], folder)


def ran(argv: list[str], folder: Path) -> str:
    done = subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


class Machine:
    """Where the page is followed: every path of it lies below `root`."""

    def __init__(self, folder: Path, repository: Repository) -> None:
        self.root, self.repository, self.folder = folder / "root", repository, folder / "here"
        self.folder.mkdir()
        for name in ("opt", "usr/local/bin", "etc/nginx/conf.d", "etc/systemd/system", "var/lib"):
            (self.root / name).mkdir(parents=True)
        for target in ("multi-user", "sysinit", "basic", "shutdown", "network-online", "network"):
            unit = self.root / "usr/lib/systemd/system" / f"{target}.target"
            unit.parent.mkdir(parents=True, exist_ok=True)
            unit.write_text(f"[Unit]\nDescription={target}\n")
        self.verified = 0

    def below(self, word: str) -> str:
        """A path of the page below the root; other words stay."""
        return f"{self.root}{word}" if word.startswith("/") else word

    def follow(self, words: list[str], tag: str) -> str:
        """Run a line of the page, or what page_lines says is run instead."""
        match words:
            case ["git", *_]:
                said = {"REPOSITORY": str(self.repository.bare), "TAG": tag}
                return ran([said.get(w, self.below(w)) for w in words], self.folder)
            case ["make", "-C", clone, "setup"]:
                said = ran(["make", "--dry-run", "-C", self.below(clone), "setup"], self.folder)
                self.make_environment()
                return said
            case ["hyperfed", "service", "units", "--write", "/"]:
                program = str(self.root / "usr/local/bin/hyperfed")
                options = ["--write", str(self.root), "--checkout", "/opt/hyperfed"]
                return ran([program, "service", "units", *options], self.folder)
            case ["systemd-sysusers"]:
                return ran(["systemd-sysusers", f"--root={self.root}"], self.folder)
            case ["install", *_]:
                return ran(self.by_number(words), self.folder)
            case ["ln" | "cp", *_]:
                return ran([self.below(word) for word in words], self.folder)
            case ["systemctl", "daemon-reload"]:
                return self.verify("hyperfed-server.service", "hyperfed-worker.service")
            case ["systemctl", "enable", "--now", *units]:
                return ran(["systemctl", f"--root={self.root}", "enable", *units], self.folder)
            case ["systemd-run", *options]:
                (self.root / "etc/systemd/system/once.service").write_text(transient(options))
                return self.verify("once.service")
        raise AssertionError(f"nothing says how to follow {words}")

    def make_environment(self) -> None:
        """What `make setup` makes, as far as the page uses it: this checkout's commands."""
        programs = self.root / "opt/hyperfed/.venv/bin"
        programs.mkdir(parents=True, exist_ok=True)
        for name in ("hyperfed", "prefect"):
            (programs / name).write_text(f'#!/bin/sh\nexec {BIN / name} "$@"\n')
            (programs / name).chmod(0o755)

    def by_number(self, words: list[str]) -> list[str]:
        """An `install` line whose users are those of the root folder, if this user may give files
        away, and this user otherwise."""
        numbers = {}
        for option, file, own in (("-o", "passwd", os.getuid()), ("-g", "group", os.getgid())):
            for line in (self.root / "etc" / file).read_text().splitlines():
                name, _, number, *_ = line.split(":")
                numbers[option, name] = number if os.getuid() == 0 else str(own)
        changed = list(words)
        for at, word in enumerate(words):
            if word in ("-o", "-g"):
                changed[at + 1] = numbers[word, words[at + 1]]
        return [self.below(word) for word in changed]

    def verify(self, *units: str) -> str:
        """Systemd's own opinion of units, which must be that nothing is wrong with them."""
        argv = ["systemd-analyze", "verify", "--man=no", f"--root={self.root}", *units]
        said = ran(argv, self.folder)
        ours = [line for line in said.splitlines() if re.search("hyperfed|once", line)]
        assert ours == [], said
        self.verified += 1
        return said

    def number(self, user: str) -> int:
        """The user's number, or this user's where files cannot be given away."""
        (line,) = [
            line
            for line in (self.root / "etc/passwd").read_text().splitlines()
            if line.startswith(f"{user}:")
        ]
        return int(line.split(":")[2]) if os.getuid() == 0 else os.getuid()


def transient(options: list[str]) -> str:
    """The unit that `systemd-run` makes of its options."""
    own = [w for w in options if w.startswith("--")][:5]
    command = options[next(i for i, w in enumerate(options) if not w.startswith("--")) :]
    settings = []
    for word in options[: options.index(command[0])]:
        name, _, value = word.partition("=")
        match name:
            case "--wait" | "--pipe":
                continue
            case "--uid":
                settings.append(f"User={value}")
            case "--property":
                settings.append(value)
            case "--setenv":
                settings.append(f"Environment={value}")
            case _:
                raise AssertionError(f"an option that nobody has read the manual of: {own}")
    return "\n".join(["[Service]", *settings, f"ExecStart={shlex.join(command)}", ""])


@pytest.fixture
def machine(open_folder: Path) -> Machine:
    repository = Repository(open_folder)
    repository.commit("0.1.0", tag="v0.1.0")
    return Machine(open_folder, repository)


@WITH_SYSTEMD
def test_the_page_is_followed_below_a_root_folder(machine: Machine) -> None:
    """From an empty machine to enabled services, and then an upgrade to the next release, while
    the branch goes on to something that nobody has released.
    """
    for name in ("coordinator.key", "store.toml", "hyperfed.toml"):
        (machine.folder / name).write_text(name)
    titles = sections("server")
    for title in titles[: titles.index("Upgrade")]:
        for words in due("server", MACHINE, title):
            machine.follow(words, "v0.1.0")
    root, version = machine.root, machine.root / "opt/hyperfed/VERSION"
    assert version.read_text() == "0.1.0"
    assert (root / "etc/nginx/conf.d/prefect.conf").is_file()
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    assert {p.name for p in wanted.iterdir()} == {
        "hyperfed-server.service",
        "hyperfed-worker.service",
    }
    for file, mode in (("coordinator.key", 0o400), ("store.toml", 0o400), ("hyperfed.toml", 0o640)):
        there = (root / "etc/hyperfed" / file).stat()
        assert there.st_mode & 0o777 == mode, file
        assert there.st_uid == (os.getuid() if mode == 0o640 else machine.number("hyperfed")), file
    assert (root / "etc/hyperfed").stat().st_mode & 0o777 == 0o750
    figures = root / "var/lib/prometheus/node-exporter"
    assert figures.stat().st_uid == machine.number("hyperfed")
    # what the page lets `systemctl edit` say
    added = section("server", "The program and its users").split("    [Service]\n")[1]
    own = root / "etc/systemd/system/hyperfed-worker.service.d/override.conf"
    own.parent.mkdir()
    own.write_text("[Service]\n" + re.sub("^ {4}", "", added.split("\n\n")[0], flags=re.MULTILINE))
    machine.verify("hyperfed-worker.service")

    machine.repository.commit("0.2.0", tag="v0.2.0")
    machine.repository.commit("unreleased")
    before, verified = own.read_text(), machine.verified
    upgrade = due("server", MACHINE, "Upgrade")
    assert [words[:1] for words in upgrade][:3] == [["git"], ["git"], ["make"]]
    for words in upgrade:
        machine.follow(words, "v0.2.0")
    assert version.read_text() == "0.2.0", "the release's, not what the branch has by now"
    assert own.read_text() == before, "what the operator changed of a unit is still there"
    assert machine.verified >= verified + 2


def test_the_new_version_is_checked_from_a_work_tree_of_its_tag(machine: Machine) -> None:
    """The line of the page about upgrades, in a clone that is still at the release before."""
    (line,) = re.findall(r"^ {4}(git fetch .*)$", page("how-to/release-and-upgrade"), re.MULTILINE)
    clone = machine.root / "opt/hyperfed"
    for words in due("server", MACHINE, "The program and its users")[:2]:
        machine.follow(words, "v0.1.0")
    machine.repository.commit("0.2.0", tag="v0.2.0")
    machine.repository.commit("unreleased")
    *first, last = line.replace("TAG", "v0.2.0").split(" && ")
    assert (last, len(first)) == ("make setup", 3)
    ran(["bash", "-ec", " && ".join([*first, "make --dry-run setup"])], clone)
    assert (clone.parent / "next" / "VERSION").read_text() == "0.2.0"
    assert (clone / "VERSION").read_text() == "0.1.0", "the version that runs is still there"


@WITH_SYSTEMD
def test_a_unit_that_is_misspelt_is_found(machine: Machine) -> None:
    """What `systemctl daemon-reload` would only write into the journal fails here."""
    machine.make_environment()
    unit = machine.root / "etc/systemd/system/once.service"
    unit.write_text(transient(["--wait", "--property=EnvironmentFiles=/x", "/opt/hyperfed/x"]))
    with pytest.raises(AssertionError, match="EnvironmentFiles"):
        machine.verify("once.service")
    with pytest.raises(AssertionError, match="manual"):
        transient(["--wayt", "/bin/true"])


def test_the_page_names_what_is_not_run() -> None:
    told = page("server").split("\n## ", 1)[0]
    for start, entry in PAGES["server"].items():
        if not entry.tests:
            name = start if start.startswith("systemctl") else start.split()[0]
            assert f"`{name}`" in told, start
