"""Schema versions: which fields a kind of document has gained since version 1 (R-12).

1. A field that came later says so where it is declared, `field(default=..., metadata=since(2))`, and its kind has that version from then on; every other kind
   stays in the version it had.
2. A document is written in the lowest version that can say it: later fields are left out where all of them are at their defaults, and a document that says
   defaults in a later version is refused. So a value keeps its one form (R-10), and what an earlier library wrote is written the same again.
3. What was written in an earlier version is read with the defaults of what came later; a later field in it is as unknown as it was then.

What it does not do: look into records inside the document's own. A field is added to the outermost one.
"""

import dataclasses
import functools
import itertools
from typing import Any

from hyperfed.codec.records import to_record
from hyperfed.errors import SchemaError

__all__ = ["lowered", "newest", "raised", "since"]

_SINCE = "hyperfed schema version"
_FIRST = 1


def since(version: int) -> dict[str, int]:
    """The metadata of a field that came with a version. The field needs a default."""
    return {_SINCE: version}


def newest(kind: Any) -> int:
    """The version of a kind today."""
    steps = _steps(kind)
    return steps[0][0] if steps else _FIRST


@functools.cache
def _steps(kind: Any) -> tuple[tuple[int, dict[str, Any]], ...]:
    """(version, plain defaults of the fields that came with it), newest first."""
    if not dataclasses.is_dataclass(kind):
        return ()
    later = [f for f in dataclasses.fields(kind) if f.metadata.get(_SINCE, _FIRST) > _FIRST]
    later.sort(key=lambda f: f.metadata[_SINCE], reverse=True)
    groups = itertools.groupby(later, key=lambda f: int(f.metadata[_SINCE]))
    return tuple((version, {f.name: to_record(f.default) for f in fields}) for version, fields in groups)


def lowered(kind: Any, record: Any) -> tuple[int, Any]:
    """(the lowest version that can say the record, the record as that version has it)."""
    for version, defaults in _steps(kind):
        if _says_more(record, defaults):
            return version, record
        record = {name: value for name, value in record.items() if name not in defaults}
    return _FIRST, record


def raised(kind: Any, version: int, plain: Any) -> Any:
    """A record that was written in a version as it is today. Raises SchemaError."""
    steps = _steps(kind)
    if not steps or type(plain) is not dict:
        return plain
    for its, defaults in steps:
        if its > version:
            if early := sorted(defaults.keys() & plain.keys()):
                raise SchemaError(f"fields unknown {', '.join(early)} in schema version {version}", subject=kind.__name__, rule="R-11")
            plain = plain | defaults
        elif its == version and defaults.keys() <= plain.keys() and not _says_more(plain, defaults):
            raise SchemaError(f"says in schema version {version} what an earlier one can say", subject=kind.__name__, rule="R-10")
    return dict(sorted(plain.items()))


def _says_more(record: dict[str, Any], defaults: dict[str, Any]) -> bool:
    return any(record[name] != default for name, default in defaults.items())
