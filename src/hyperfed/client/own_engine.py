"""Import the user's own engine, MODULE:FACTORY, and make it.

1. The module lies beside hyperfed.toml, in the working directory, or where Python finds it.
2. The factory is handed the path of the data, where there are any. A factory that has a parameter
   `lags` gets those of the plan.

What it does not do: it does not run the engine (`finding`).
"""

import importlib
import inspect
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperfed.errors import ConfigError, EngineError, HyperfedError

if TYPE_CHECKING:
    from hyperfed.engines import Engine

__all__ = ["own_engine"]


def own_engine(
    factory: str, data: Path | None, folder: Path | None, lags: tuple[int, ...]
) -> "Engine":
    """Return the engine that the user's factory makes.

    A factory that takes `lags` gets those of the plan, where it names any.

    Raises ConfigError where the factory cannot be found, EngineError where it fails.
    """
    module, _, attribute = factory.partition(":")
    subject = f"--engine {factory!r:.120}"
    if not module or not attribute:
        raise ConfigError(
            "not MODULE:FACTORY",
            subject=subject,
            remedy="Write it as my_package.my_module:make_engine",
        )
    for place in (folder, Path.cwd()):
        if place is not None and str(place) not in sys.path:
            sys.path.insert(0, str(place))
    try:
        make: Any = importlib.import_module(module)
        for part in attribute.split("."):
            make = getattr(make, part)
    except (ImportError, AttributeError) as exc:
        remedy = "Put the module beside hyperfed.toml, run where Python finds it, or set PYTHONPATH"
        raise ConfigError(f"cannot be imported: {exc}", subject=subject, remedy=remedy) from exc
    try:
        lag_options = {"lags": lags} if lags and _takes_lags(make) else {}
        engine: Engine = make(*([] if data is None else [os.fspath(data)]), **lag_options)
    except HyperfedError:
        raise
    except Exception as exc:
        raise EngineError(
            f"failed: {type(exc).__name__}: {exc}",
            subject=subject,
            remedy="Run the command with --debug to see its traceback",
        ) from exc
    return engine


def _takes_lags(make: Any) -> bool:
    """Return whether a factory has a parameter `lags`."""
    try:
        return "lags" in inspect.signature(make).parameters
    except (TypeError, ValueError):  # a builtin
        return False
