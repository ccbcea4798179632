"""Find the checkout that holds the Prefect flows, and import from it by name.

1. `flows`, `tasks` and `blocks` are an application that runs from its checkout. The library never
   imports them statically.
2. The checkout is looked for from the working directory upwards, and then where an editable install
   points. A folder is this project's checkout if its pyproject.toml says so.
3. An error says what is missing: the checkout, or a package that `make setup` installs there.
4. What works on a Prefect server is handed out only where a server is named and answers
   (`flows.server`).
"""

import importlib
import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hyperfed
from hyperfed.errors import ConfigError

__all__ = ["find_checkout", "import_for_server", "import_from_checkout", "server_is_named"]


def _candidates() -> Iterator[Path]:
    folder = Path.cwd()
    yield from (folder, *folder.parents)
    # <checkout>/src/hyperfed/__init__.py
    yield from list(Path(hyperfed.__file__).resolve().parents)[2:3]


def _is_checkout(folder: Path) -> bool:
    if not (folder / "flows" / "__init__.py").is_file():
        return False
    try:
        return bool(
            tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"][
                "name"
            ]
            == "hyperfed"
        )
    except (OSError, ValueError, LookupError, TypeError):
        return False


def find_checkout() -> Path:
    """Return the checkout's folder. Raises ConfigError where there is none."""
    for folder in _candidates():
        if _is_checkout(folder):
            return folder
    raise ConfigError(
        "needs the flows, which are not part of the installed package",
        subject="this command",
        remedy="Clone the repository, run it from inside the clone, and install what it needs "
        "with `make setup`",
    )


def import_from_checkout(module: str, attribute: str) -> Any:
    """Return `attribute` of `module`, such as ("flows.demo", "run_demo").

    Raises ConfigError, which names what is missing.
    """
    folder = find_checkout()
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as exc:
        missing = exc.name or "?"
        if missing == module or module.startswith(f"{missing}."):
            raise ConfigError(
                f"has no module {module}", subject=str(folder), remedy="Update the checkout"
            ) from exc
        raise ConfigError(
            f"needs the Python package {missing!r}, which is not installed",
            subject=module,
            remedy="In the clone: `make setup`, or pip install -e '.[coordinator]'",
        ) from exc
    except AttributeError as exc:
        raise ConfigError(
            f"has no {attribute}",
            subject=module,
            remedy="Update the checkout: it is older than the installed command",
        ) from exc


def import_for_server(module: str, attribute: str) -> Any:
    """Return `attribute` of `module`, which works on a Prefect server.

    Raises ConfigError where no server is named or something is missing, TransportError where the
    server does not answer, and AccessDenied where it refuses the login.
    """
    import_from_checkout("flows.server", "check_server")()
    return import_from_checkout(module, attribute)


def server_is_named() -> bool:
    """Return whether the environment or Prefect's active profile names a server.

    It finds this out without Prefect, so that a command that can do without it does not import it.
    """
    environment = os.environ
    if environment.get("PREFECT_API_URL"):
        return True
    try:
        home = Path(environment.get("PREFECT_HOME") or Path.home() / ".prefect")
        path = Path(environment.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
        document = tomllib.loads(path.expanduser().read_text(encoding="utf-8"))
        active = environment.get("PREFECT_PROFILE") or document.get("active")
        profile = document.get("profiles", {}).get(active, {})
        # the profile "local" is Prefect's own, and names this machine's server
        return bool(profile.get("PREFECT_API_URL")) or (active == "local" and not profile)
    except (OSError, ValueError, AttributeError, RuntimeError):
        # there are no profiles, or Prefect could not read them either
        return environment.get("PREFECT_PROFILE") == "local"
