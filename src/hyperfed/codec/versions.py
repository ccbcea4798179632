"""Keep schema versions: which fields a kind of document has gained since version 1 (R-12).

1. A field that came later says so where it is declared, `field(default=..., metadata=since(2))`.
   Its kind has that version from then on; every other kind stays in the version it had.
2. A field of a record inside another counts in the versions of both: a plan has the version that
   its policy needs, or a later one.
3. A document is written in the lowest version that can hold it. Later fields are left out where all
   of them are at their defaults, and a document that spells out defaults in a later version is
   refused. So a value keeps its one form (R-10), and what an earlier library wrote is written the
   same again.
4. What was written in an earlier version is read with the defaults of the fields that came later. A
   later field in it is refused as unknown.

What it does not do: it knows no columns. A table gets no field this way; its record does.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from typing import Any

from hyperfed.codec.records import to_record
from hyperfed.errors import SchemaError

__all__ = ["lowered", "newest", "raised", "since"]

_SINCE = "hyperfed schema version"
_FIRST = 1


def since(version: int) -> dict[str, int]:
    """Return the metadata of a field that came with a version. The field needs a default."""
    return {_SINCE: version}


@dataclasses.dataclass(frozen=True, slots=True)
class _Later:
    """Describes what a kind has gained since version 1."""

    own: tuple[tuple[str, int, Any], ...]
    """The later fields: (name, version, plain default)."""
    inner: tuple[tuple[str, type, bool], ...]
    """The fields whose records have later fields: (name, their kind, whether there are many)."""


@functools.cache
def _later(kind: Any) -> _Later | None:
    """Return what a kind has gained, or None where neither it nor a record in it has gained."""
    if not (dataclasses.is_dataclass(kind) and isinstance(kind, type)):
        return None
    fields, hints = dataclasses.fields(kind), typing.get_type_hints(kind)
    later_fields = tuple(
        (f.name, int(f.metadata[_SINCE]), to_record(f.default))
        for f in fields
        if _SINCE in f.metadata
    )
    inner = []
    for f in fields:
        record, many = _record_of(hints[f.name])
        if record is not None and _later(record) is not None:
            inner.append((f.name, record, many))
    return _Later(later_fields, tuple(inner)) if later_fields or inner else None


def _record_of(hint: Any) -> tuple[type | None, bool]:
    """Return the kind of record that a field holds, or None, and whether it holds many of them."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _record_of(next(option for option in arguments if option is not types.NoneType))
    if origin is list or (origin is tuple and arguments[1:] == (Ellipsis,)):
        record, many = _record_of(arguments[0])
        return (None, False) if many else (record, True)
    return (
        (hint, False)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type)
        else (None, False)
    )


def newest(kind: Any) -> int:
    """Return the newest version of a kind."""
    later = _later(kind)
    if later is None:
        return _FIRST
    return max(
        [since for _, since, _ in later.own] + [newest(inner) for _, inner, _ in later.inner]
    )


def lowered(kind: Any, record: Any) -> tuple[int, Any]:
    """Return the lowest version that can hold the record, and the record as that version has it."""
    later = _later(kind)
    if later is None:
        return _FIRST, record
    version = _needed(later, record)
    return version, _without(later, record, version)


def raised(kind: Any, version: int, plain: Any) -> Any:
    """Return a record written in an earlier version as it would be today.

    Raises SchemaError where it has fields of a later version, or a version later than it needs.
    """
    later = _later(kind)
    if later is None:
        return plain
    whole = _filled(kind, later, version, plain)
    if version > _FIRST and _needed(later, whole) < version:
        raise SchemaError(
            f"says in schema version {version} what an earlier one can say",
            subject=kind.__name__,
            rule="R-10",
        )
    return whole


def _needed(later: _Later, record: Any) -> int:
    """Return the lowest version that can hold a record.

    What is not there, or is no record, may be of any version: `records` says what is wrong with it.
    """
    values = record if type(record) is dict else {}
    needed = [
        since for name, since, default in later.own if name not in values or values[name] != default
    ]
    _each_inner(later, values, lambda _, inner, item: needed.append(_needed(inner, item)))
    return max(needed, default=_FIRST)


def _without(later: _Later, record: Any, version: int) -> Any:
    """Return a record without the fields that came after a version."""
    if type(record) is not dict:
        return record
    gone = {name for name, since, _ in later.own if since > version}
    older_fields = {name: value for name, value in record.items() if name not in gone}
    return older_fields | _each_inner(
        later, older_fields, lambda _, inner, item: _without(inner, item, version)
    )


def _filled(kind: Any, later: _Later, version: int, plain: Any) -> Any:
    """Return a record with the defaults of the fields that came after its version, keys in order.

    Raises SchemaError where it has such a field already.
    """
    if type(plain) is not dict:
        return plain
    defaults = {name: default for name, since, default in later.own if since > version}
    if early := sorted(defaults.keys() & plain.keys()):
        raise SchemaError(
            f"fields unknown {', '.join(early)} in schema version {version}",
            subject=kind.__name__,
            rule="R-11",
        )
    # a default is a whole record already, with what its own kind gained
    inside = _each_inner(
        later, plain, lambda kind, inner, item: _filled(kind, inner, version, item)
    )
    return dict(sorted((plain | inside | defaults).items()))


def _each_inner(
    later: _Later, record: dict[str, Any], work: Callable[[type, _Later, Any], Any]
) -> dict[str, Any]:
    """Return what `work` makes of the records inside a record, by the names of their fields."""
    changed_fields: dict[str, Any] = {}
    for name, kind, many in later.inner:
        inner, value = _later(kind), record.get(name)
        if inner is None or value is None:
            continue
        items = value if many and type(value) is list else [value]
        done = [work(kind, inner, item) for item in items]
        changed_fields[name] = done if items is value else done[0]
    return changed_fields
