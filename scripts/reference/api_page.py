"""Make docs/reference/api.md: the public names, by the module that they live in.

The page names them for mkdocstrings, which writes their signatures and docstrings into the site.
"""

import ast
from collections import defaultdict
from pathlib import Path

from reference.source import parsed

__all__ = ["api_page"]

_INTRO = """\
# The library

    from hyperfed import FederationClientAgent, FederationCoordinator

Every name below is imported from `hyperfed` itself, and costs nothing until it is used. The site
that `make docs` builds shows the signature and the docstring of each.
"""


def api_page(root: Path) -> str:
    homes = defaultdict[str, list[str]](list)
    for line in parsed(root / "src" / "hyperfed" / "__init__.pyi").body:
        if isinstance(line, ast.ImportFrom) and line.module != "hyperfed.errors":
            homes[str(line.module)] += [alias.name for alias in line.names]
    parts = [_INTRO]
    for module, names in homes.items():
        listed = "\n".join(f"\n::: {module}.{name}" for name in names)
        parts.append(f"## `{module}`\n{listed}\n")
    return "\n".join([*parts, "[Errors](errors.md) have a page of their own.\n"])
