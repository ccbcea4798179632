"""The quick way from a plain value to a record without columns: all fields of a map are looked at together, in C, and a record is made once.

1. A quick reader gives exactly the record that `records` would, or raises something; it never says what is wrong. `records` then reads the value again, field
   by field, and what it says is what is told: one place for every refusal.
2. It is put together once for a type, from its annotations, and is called for ten thousand clients a night.

What it does not do: columns and tables (`records`), or errors that anybody sees.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from hyperfed.codec.scalars import read_decimal, read_instant

__all__ = ["NotQuick", "quick_reader"]

Quick = Callable[[Any], Any]

_SCALARS = (bool, int, float, str)
_AS_THEY_ARE = (*_SCALARS, bytes)


class NotQuick(ValueError):
    """The value is not of the expected form, or not of one that is read here."""


@functools.cache
def quick_reader(hint: Any) -> Quick | None:
    """What reads a value of that annotation; None where it holds columns."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, typing.NewType):
        return quick_reader(hint.__supertype__)
    if hint in _SCALARS:
        return functools.partial(_of_kind, hint)
    if origin in (types.UnionType, typing.Union) and types.NoneType in arguments:
        inner = quick_reader(next(option for option in arguments if option is not types.NoneType))
        return None if inner is None else lambda plain: None if plain is None else inner(plain)
    if origin in (tuple, list):
        return _sequence_reader(origin, arguments)
    if origin is dict or hint is dict:
        return lambda plain: dict(_of_kind(dict, plain))
    if not isinstance(hint, type):
        return None
    if hint is bytes:
        return _binary
    if hint is datetime:
        return lambda plain: read_instant(plain, "")
    if hint is Decimal:
        return lambda plain: read_decimal(plain, "")
    if issubclass(hint, Enum):
        return {member.value: member for member in hint}.__getitem__
    return _record_reader(hint) if dataclasses.is_dataclass(hint) else None


def _of_kind(kind: type, plain: Any) -> Any:
    if type(plain) is not kind:
        raise NotQuick
    return plain


def _binary(plain: Any) -> bytes:
    if type(plain) is not bytes:
        if type(plain) is not memoryview:
            raise NotQuick
        return bytes(plain)
    return plain


def _sequence_reader(kind: type, hints: tuple[Any, ...]) -> Quick | None:
    if kind is list or (len(hints) == 2 and hints[1] is Ellipsis):
        item = quick_reader(hints[0])
        if item is None:
            return None
        if hints[0] not in _SCALARS:
            return lambda plain: kind([item(value) for value in _of_kind(list, plain)])
        only = frozenset(hints[:1])

        def same(plain: Any) -> Any:
            if not only.issuperset(map(type, _of_kind(list, plain))):
                raise NotQuick
            return kind(plain)

        return same
    items = [quick_reader(hint) for hint in hints]
    if None in items:
        return None

    def each(plain: Any) -> Any:
        return tuple([item(value) for item, value in zip(items, _of_kind(list, plain), strict=True)])  # type: ignore[misc]

    return each


def _record_reader(kind: type) -> Quick | None:
    """The reader of a dataclass: its field names as they come, sorted; the types of those that need no more than that; what reads each of the others."""
    hints = typing.get_type_hints(kind)
    names = sorted(field.name for field in dataclasses.fields(kind))
    readers = {name: quick_reader(hints[name]) for name in names}
    if None in readers.values():
        return None
    places = [i for i, name in enumerate(names) if hints[name] in _AS_THEY_ARE]
    kinds = [hints[names[i]] for i in places]
    others = [(name, reader) for name, reader in readers.items() if hints[name] not in _AS_THEY_ARE]
    # a record that sorted or rounded what it got was not given its canonical form: only lists and floats can be
    unchanged = [name for name in names if _may_change(hints[name])]

    def read(plain: Any) -> Any:
        if type(plain) is not dict or [*plain] != names:
            raise NotQuick
        values = plain.copy()
        given = [*map(type, values.values())]
        if memoryview in given:
            values = {name: bytes(value) if type(value) is memoryview else value for name, value in values.items()}
            given = [*map(type, values.values())]
        if [given[i] for i in places] != kinds:
            raise NotQuick
        for name, reader in others:
            values[name] = reader(values[name])  # type: ignore[misc]
        record = kind(**values)
        for name in unchanged:
            if getattr(record, name) != values[name]:
                raise NotQuick
        return record

    return read


def _may_change(hint: Any) -> bool:
    options = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    return any(option is float or typing.get_origin(option) is list or option is list for option in options)
