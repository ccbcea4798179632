"""Check an installed wheel by itself: `python -I check.py tests/vectors`, with nothing beside it.

1. What is imported is the installed package, with a client's packages and no Prefect.
2. Every command's module can be imported.
3. A federation of three plays a round in memory.
4. Every drop-box that an earlier version left is read at each stage at which it was left, its last
   round is finished, with its helpers and by its gossip's peers, and it is audited without keys,
   and with the coordinator's and the auditor's. Where the extra `privacy` is not installed, a
   drop-box with charged noise is refused by a message that names it.
"""

import importlib.util
import json
import os
import platform
import runpy
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


def require(holds: object, problem: str) -> None:
    if not holds:
        sys.exit(f"check: {problem}")


def check_package() -> None:
    import hyperfed
    from hyperfed.cli.app import app

    inside = Path(sysconfig.get_paths()["purelib"])
    require(Path(hyperfed.__file__).is_relative_to(inside), f"{hyperfed.__file__} is not installed")
    require(importlib.util.find_spec("prefect") is None, "a client's wheel brings Prefect along")
    for name in app.list_commands(None):  # type: ignore[arg-type]
        require(app.get_command(None, name), f"{name} cannot be imported")  # type: ignore[arg-type]


def check_round() -> None:
    from hyperfed.testing.federation import SmallFederation

    stage = SmallFederation().play(1)
    require(stage.counted == 3, f"a round of three counted {stage.counted}")


def check_drop_box(name: str, stage: str, about: dict[str, Any], make: dict[str, Any]) -> None:
    from hyperfed.config import Limits
    from hyperfed.crypto.keys import KeyPair
    from hyperfed.operations.audit import audit

    what = f"{name}, left {stage}" if "stages" in about else name
    with TemporaryDirectory() as folder:
        disks = Path(folder)
        store = make["left"](name, stage, about, disks)
        require(make["said"](store, about) == about["rounds"], f"{what}: its rounds say otherwise")
        end = make["finished"](store, about, disks)
        require(end.why.value == "committed", f"{what}: its last round is {end.why.value}")
        if about.get("gossips"):
            averages = make["STAGED"]["averages"](store, about, disks)
            require(len(averages) == len(about["clients"]), f"{what}: a peer has no average")
    limits = Limits(own_receipts=about["own_receipts"])
    for whose in (None, "coordinator", "auditor"):
        keys = KeyPair(bytes.fromhex(about[whose])) if whose else None
        findings = audit(store, about["fingerprint"], keys, limits=limits).findings
        require(not findings, f"{what}: the audit finds {findings[:3]}")


def check_refused(name: str, stage: str, about: dict[str, Any], make: dict[str, Any]) -> None:
    from hyperfed.errors import PrivacyError

    try:
        with TemporaryDirectory() as folder:
            disks = Path(folder)
            store = make["left"](name, stage, about, disks)
            make["finished"](store, about, disks)
            if about.get("gossips"):
                make["STAGED"]["averages"](store, about, disks)
    except PrivacyError as error:
        require("dp-accounting" in str(error), f"{name}: the refusal names no package: {error}")
    else:
        require(False, f"{name}: was finished without an account of its noise")


def check_upgrade() -> None:
    from hyperfed.storage.filesystem import FilesystemStore
    from hyperfed.testing.federation import SmallFederation

    command = Path(sysconfig.get_path("scripts")) / "hyperfed"
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "box").mkdir()
        federation = SmallFederation(store=FilesystemStore(folder / "box"))
        federation.play(1)
        federation.coordinator.save(folder / "coordinator.key")
        (folder / "hyperfed.toml").write_text(
            f'[store]\nurl = "{(folder / "box").as_uri()}"\n'
            '[coordinator]\nkey = "coordinator.key"\n'
            f'[federation]\nfingerprint = "{federation.fingerprint}"\n',
            encoding="utf-8",
        )
        asked = subprocess.run(  # noqa: S603 - the wheel's own command
            [command, "upgrade", "check", "--json"],
            cwd=folder,
            env={
                **os.environ,
                "PREFECT_API_URL": "http://127.0.0.1:9/api",
                "HYPERFED_STATE": str(folder / "state"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    require(asked.returncode == 1, f"upgrade check ended with {asked.returncode}: {asked.stderr}")
    require("git worktree add" in asked.stdout, f"upgrade check said {asked.stdout}")


def main(vectors: Path) -> None:
    check_package()
    check_round()
    check_upgrade()
    make = runpy.run_path(str(vectors / "make_dropboxes.py"), run_name="make_dropboxes")
    index = json.loads((vectors / "dropboxes" / "index.json").read_text(encoding="utf-8"))
    bare = importlib.util.find_spec("dp_accounting") is None
    for name, about in index.items():
        stages = list(make["stages"](about))
        noised = any(said["charged"] for said in about["rounds"].values())
        if bare and (noised or about.get("gossips")):
            check_refused(name, stages[0], about, make)
        else:
            for stage in stages:
                check_drop_box(name, stage, about, make)
    version, numpy = metadata.version("hyperfed"), metadata.version("numpy")
    print(
        f"hyperfed {version} on {platform.python_version()} with numpy {numpy}"
        f"{'' if bare else ' and the extra privacy'} played a round, and did with the drop-boxes "
        f"{', '.join(index)} what it should"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
