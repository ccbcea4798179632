"""Make a release and prove it: `make release` runs this in .venv.

1. What is released is the commit, not the folder: `git archive` unpacks it twice, into folders of
   other names, and wheel and sdist are built in each, under another umask, time zone, locale and
   hash seed. They have the same bytes, or the members that differ are named and nothing is kept.
2. On each Python that can be had, the wheel is installed into an empty environment with the lock's
   versions and nothing else, and then with the extra `privacy`. `check.py` plays a round there, and
   reads, finishes and audits every drop-box that an earlier version left in tests/vectors.
3. A CycloneDX document each says what a client and a coordinator install.
4. dist/release/ then holds wheel, sdist, both documents and SHA256SUMS; nothing is uploaded. Where
   the checkout has changes, or CHANGELOG.md no section of the version, all of this is done as a
   rehearsal: the files lie in dist/rehearsal/, and the last line says why they are no release.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "dist"
TOOLS = ROOT / ".venvs" / "release"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
CHECK = Path(__file__).with_name("check.py")
PYTHONS = ("3.11", "3.12", "3.13")
WORLDS = (
    {"name": "first", "umask": 0o022, "TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "0"},
    {
        "name": "a-second-folder",
        "umask": 0o077,
        "TZ": "Asia/Kolkata",
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "4711",
    },
)
"""What differs between the two builds and must not be seen."""


class Refused(Exception):
    """Why there is no release."""


def say(text: str) -> None:
    print(f"release: {text}", flush=True)


def run(
    *command: str | Path, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
) -> str:
    """Run a command and return what it prints. Raises Refused with its last lines."""
    ran = subprocess.run(  # noqa: S603 - our own commands
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        last = "\n".join((ran.stdout + ran.stderr).splitlines()[-20:])
        raise Refused(f"{' '.join(str(word) for word in command[:4])} ... failed:\n{last}")
    return ran.stdout


def version_of(tree: Path) -> str:
    """Return the version that pyproject.toml states."""
    document = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
    return str(document["project"]["version"])


def missing_for_a_release() -> list[str]:
    """Return what keeps this checkout from being released, each with its remedy."""
    missing = []
    if run("git", "status", "--porcelain", "--untracked-files=no").strip():
        missing.append("the checkout has changes, of which nothing is built: commit them")
    version = version_of(ROOT)
    heading = f"## [{version}]"
    if heading not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        missing.append(
            f"CHANGELOG.md has no section {heading!r}: write it before you tag {version}"
        )
    return missing


def unpack(commit: str, folder: Path, umask: int) -> None:
    """Put a commit's files into a new folder, with the modes that a umask leaves."""
    folder.mkdir(parents=True)
    archive = folder.parent / f"{folder.name}.tar"
    run("git", "archive", "--format=tar", f"--output={archive}", commit)
    with tarfile.open(archive) as files:
        for member in files:
            member.mode &= ~umask
            files.extract(member, folder, filter="fully_trusted" if member.issym() else "data")


def build(tree: Path, out: Path, world: Mapping[str, object], epoch: str) -> dict[str, Path]:
    """Return the files that are built in a tree, by name."""
    environment = {name: str(world[name]) for name in ("TZ", "LC_ALL", "PYTHONHASHSEED")}
    environment["SOURCE_DATE_EPOCH"] = epoch
    umask = int(str(world["umask"]))
    builder = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", out)
    before = os.umask(umask)
    try:
        run(*builder, cwd=tree, environment=environment)
    finally:
        os.umask(before)
    return {path.name: path for path in sorted(out.iterdir())}


def members(path: Path) -> dict[str, tuple[object, ...]]:
    """Return what an archive says of each of its members."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return {
                i.filename: (i.date_time, i.external_attr >> 16, i.CRC) for i in wheel.infolist()
            }
    with tarfile.open(path) as sdist:
        return {
            m.name: (
                m.mtime,
                m.mode,
                m.uid,
                m.uname,
                hashlib.sha256(sdist.extractfile(m).read() if m.isfile() else b"").hexdigest(),  # type: ignore[union-attr]
            )
            for m in sdist
        }


def differences(one: Mapping[str, Path], other: Mapping[str, Path]) -> list[str]:
    """Return what differs between the files of two builds, in words; empty: not a byte."""
    if one.keys() != other.keys():
        return [f"the builds made {sorted(one)} and {sorted(other)}"]
    found = []
    for name, path in one.items():
        if path.read_bytes() == other[name].read_bytes():
            continue
        here, there = members(path), members(other[name])
        unlike = [m for m in sorted(here.keys() | there.keys()) if here.get(m) != there.get(m)]
        which = ", ".join(unlike[:5]) or "their order or compression"
        found.append(f"{name}: {which}")
    return found


def build_twice(commit: str, folder: Path) -> dict[str, Path]:
    """Return the files that both builds of a commit make. Raises Refused where they differ."""
    epoch = run("git", "show", "--no-patch", "--format=%ct", commit).strip()
    builds = []
    for world in WORLDS:
        tree = folder / str(world["name"]) / "tree"
        unpack(commit, tree, int(str(world["umask"])))
        builds.append(build(tree, tree.parent / "out", world, epoch))
    unlike = differences(*builds)
    if unlike:
        raise Refused("two builds of one commit differ: " + "; ".join(unlike))
    return builds[0]


def settings() -> dict[str, str]:
    """Return the environment for uv: pip's own index and certificate, and no other Python."""
    shell = f'eval "$({sys.executable} scripts/pip_settings.py)"; env -0'
    printed = run("bash", "-c", shell)
    known = dict(line.partition("=")[::2] for line in printed.split("\0") if "=" in line)
    kept = {name: known[name] for name in known if name.startswith(("UV_", "SSL_", "HTTP", "ALL_"))}
    return kept | {"UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_HTTP_TIMEOUT": "180"}


def find_python(wanted: str) -> str | None:
    """Return an interpreter of a version: of pyenv, of the PATH or of uv; None: there is none."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [*sorted(root.glob(f"versions/{wanted}.*/bin/python"), reverse=True)]
    named = shutil.which(f"python{wanted}")
    for candidate in (*candidates, *([Path(named)] if named else []), Path(sys.executable)):
        code = "import sys; print('.'.join(map(str, sys.version_info[:2])))"
        ran = subprocess.run(  # noqa: S603
            [str(candidate), "-c", code], capture_output=True, text=True, check=False
        )
        if ran.stdout.strip() == wanted:
            return str(candidate)
    return None


def environment_with(
    wheel: Path, extra: str, folder: Path, python: str, known: Mapping[str, str]
) -> Path:
    """Return the Python of a new environment that holds a wheel and the lock's versions."""
    uv = Path(sys.executable).with_name("uv")
    run(uv, "venv", "--quiet", "--clear", "--python", python, folder, environment=known)
    inside = folder / "bin" / "python"
    constraint = ROOT / "requirements.lock"
    wanted = f"hyperfed{extra} @ {wheel.as_uri()}"
    install = ("pip", "install", "--quiet", "--python", inside, "--constraint", constraint)
    run(uv, *install, wanted, environment=known)
    return inside


def check_wheel(wheel: Path, folder: Path, known: Mapping[str, str]) -> dict[str, str]:
    """Return the Pythons on which the wheel was checked, by version. Raises Refused."""
    checked: dict[str, str] = {}
    empty = folder / "empty"
    empty.mkdir()
    for wanted in PYTHONS:
        python = find_python(wanted)
        if python is None:
            say(f"Python {wanted} could not be had: the wheel is not checked there")
            continue
        alone = {"HOME": str(empty), "PYTHONPATH": ""}
        for extra in ("", "[privacy]"):
            inside = environment_with(wheel, extra, folder / wanted, python, known)
            said = run(
                inside, "-I", CHECK, ROOT / "tests" / "vectors", cwd=empty, environment=alone
            )
            say(said.strip().splitlines()[-1])
        checked[wanted] = python
    if not checked:
        raise Refused("no Python could be had to check the wheel on")
    return checked


def describe(inside: Path, out: Path, known: Mapping[str, str], epoch: str) -> None:
    """Write what an environment holds as a CycloneDX document, the same for the same versions."""
    if not (TOOLS / "bin" / "cyclonedx-py").exists():
        uv = Path(sys.executable).with_name("uv")
        run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, TOOLS, environment=known)
        python = TOOLS / "bin" / "python"
        run(
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            python,
            "-r",
            REQUIREMENTS,
            environment=known,
        )
    run(
        *(TOOLS / "bin" / "cyclonedx-py", "environment", inside, "--output-reproducible"),
        *("--pyproject", ROOT / "pyproject.toml", "--output-file", out),
        environment={"SOURCE_DATE_EPOCH": epoch},
    )
    text = out.read_text(encoding="utf-8")
    for local in (str(inside.parents[2]), str(Path.home())):
        if local in text:
            raise Refused(f"{out.name} names a folder of this machine, {local}")


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS over every file of a folder, as `sha256sum --check` reads it."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
        if path.name != "SHA256SUMS"
    ]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def release() -> None:
    """Build, check and describe the commit. Raises Refused where it does not hold."""
    missing = missing_for_a_release()
    out = OUT / ("rehearsal" if missing else "release")
    commit = run("git", "rev-parse", "HEAD").strip()
    epoch = run("git", "show", "--no-patch", "--format=%ct", commit).strip()
    known = settings()
    with tempfile.TemporaryDirectory(prefix="hyperfed-release-") as scratch:
        folder = Path(scratch)
        files = build_twice(commit, folder)
        say(f"two builds of {commit[:12]} have the same bytes: {', '.join(files)}")
        wheel = next(path for name, path in files.items() if name.endswith(".whl"))
        pythons = check_wheel(wheel, folder, known)
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        for path in files.values():
            shutil.copyfile(path, out / path.name)
        newest = list(pythons.values())[-1]
        for role, extra in (("client", ""), ("coordinator", "[coordinator,privacy]")):
            inside = environment_with(wheel, extra, folder / role, newest, known)
            name = f"hyperfed-{version_of(ROOT)}-{role}.cdx.json"
            describe(inside, out / name, known, epoch)
    write_sums(out)
    for path in sorted(out.iterdir()):
        say(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
    for problem in missing:
        say(f"a rehearsal, not a release: {problem}")


def main() -> int:
    try:
        release()
    except Refused as refused:
        print(f"release: refused: {refused}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
