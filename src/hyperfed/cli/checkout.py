"""Finds the checkout that holds the Prefect flows, and imports them by name.

1. `flows`, `tasks` and `blocks` are an application that runs from its checkout; the library never imports it statically.
2. Looked for from the working directory upwards, then where an editable install points. It is this project's if its pyproject.toml says so.
3. What is missing is said: the checkout, or `pip install 'hyperfed[coordinator]'`.
"""

import importlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hyperfed
from hyperfed.errors import ConfigError

__all__ = ["find_checkout", "import_from_checkout"]


def _candidates() -> Iterator[Path]:
    here = Path.cwd()
    yield from (here, *here.parents)
    yield from list(Path(hyperfed.__file__).resolve().parents)[2:3]  # <checkout>/src/hyperfed/__init__.py


def _is_checkout(folder: Path) -> bool:
    if not (folder / "flows" / "__init__.py").is_file():
        return False
    try:
        return bool(tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"] == "hyperfed")
    except (OSError, ValueError, LookupError, TypeError):
        return False


def find_checkout() -> Path:
    """The checkout's folder. Raises ConfigError."""
    for folder in _candidates():
        if _is_checkout(folder):
            return folder
    raise ConfigError(
        "needs the flows, which are not part of the installed package",
        subject="this command",
        remedy="Clone the repository, run it from inside the clone, and install what it needs with: pip install 'hyperfed[coordinator]'",
    )


def import_from_checkout(module: str, attribute: str) -> Any:
    """`attribute` of `module`, such as ("flows.demo", "run_demo"). Raises ConfigError naming what is missing."""
    folder = find_checkout()
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as exc:
        missing = exc.name or "?"
        if missing == module or module.startswith(f"{missing}."):
            raise ConfigError(f"has no module {module}", subject=str(folder), remedy="Update the checkout") from exc
        raise ConfigError(
            f"needs the Python package {missing!r}, which is not installed", subject=module, remedy="pip install 'hyperfed[coordinator]'"
        ) from exc
    except AttributeError as exc:
        raise ConfigError(f"has no {attribute}", subject=module, remedy="Update the checkout: it is older than the installed command") from exc
