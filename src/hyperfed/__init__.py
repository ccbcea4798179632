"""Import the public names of Hyperfed, federated causal discovery through an object store.

1. The public names stand once, in `__init__.pyi` beside this file: type checkers and editors read
   them there, and so does this module.
2. Each is imported when it is first asked for, so that `import hyperfed` costs nothing (PEP 562).
"""

from functools import cache

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    from importlib import import_module

    homes = _homes()
    if name == "__all__":
        value: object = sorted({*homes, "__version__"})
    elif name in homes:
        value = getattr(import_module(homes[name]), name)
    else:
        raise AttributeError(f"module 'hyperfed' has no attribute {name!r}")
    globals()[name] = value  # Python asks this function once a name.
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_homes()})


@cache
def _homes() -> dict[str, str]:
    """Return the module of each public name, as the stub imports it."""
    from ast import ImportFrom, parse
    from pathlib import Path

    stub = parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    return {
        alias.name: str(line.module)
        for line in stub.body
        if isinstance(line, ImportFrom)
        for alias in line.names
    }
