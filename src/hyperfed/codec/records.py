"""Convert typed records to plain values and back: a frozen dataclass is a map of its fields.

1. Every field is present, none is unknown, each has exactly its annotated type: bool is not int,
   int is not float (R-11).
2. Columns travel as [dtype, little-endian buffer] or as byte planes (`columns`, `planes`).
   Dataclasses are walked in the order of their fields, so that writer and reader meet the same
   column.
3. Instants are integer microseconds since 1970 UTC; decimals are texts; enums are their values;
   None is null.
4. A class with columns names their dtypes in `COLUMNS` (tables: `INTEGERS`). The annotation of a
   column is for people and mypy and is never taken apart: what numpy's aliases are made of changes
   from version to version.
5. What reads a class is put together from its annotations before its first record is looked at,
   down to its last field. A field that nothing reads is a mistake of this library and raises
   TypeError, never a PacketError: no sender is to blame for it.
6. The fields that need no more than a type are checked together. Where one of them does not fit,
   the fields are read one by one, and the first that does not fit says so.

These annotations are supported: bool, int, float, str, bytes, datetime, Decimal, Enum, X | None,
tuple[X, ...], tuple[A, B], list[X], dict[str, scalar], columns, and dataclasses of these.
"""

import dataclasses
import functools
import operator
import types
import typing
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any, TypeVar

import numpy as np

from hyperfed.codec.columns import ascends, checked_column, claim_column, write_column
from hyperfed.codec.fields import Place, constructed, field_values, hints_of, spelled
from hyperfed.codec.planes import Coding, PlaneReader, PlaneWriter
from hyperfed.codec.scalars import (
    decimal_text,
    expect,
    expect_binary,
    micros_of,
    read_decimal,
    read_enum,
    read_instant,
)
from hyperfed.codec.tables import TABLES, read_table, write_table
from hyperfed.errors import SchemaError
from hyperfed.tables.columns import all_finite, columns_of

__all__ = ["from_record", "to_record"]

T = TypeVar("T")
Reader = Callable[[Any, Place, PlaneReader | None], Any]

_AS_THEY_ARE = frozenset((types.NoneType, bool, int, float, str, bytes, memoryview))
_SCALARS = (bool, int, float, str)


def to_record(value: Any, *, planes: PlaneWriter | None = None) -> Any:
    """Return the plain value of a record.

    `planes` takes its large columns. Raises SchemaError for a type that cannot travel.
    """
    kind: Any = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind in (tuple, list):
        if _AS_THEY_ARE.issuperset(map(type, value)):
            return [*value]
        return [
            item if type(item) in _AS_THEY_ARE else to_record(item, planes=planes) for item in value
        ]
    if isinstance(value, datetime):
        return micros_of(value)
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.ndarray):
        if not all_finite(value):
            raise SchemaError("a column holds a number that is not finite", rule="R-10")
        return write_column(value, planes, Coding.STEP if ascends(value) else Coding.PLAIN)
    if isinstance(value, TABLES):
        return write_table(value, planes)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names, values_of = _fields(kind)
        return {
            name: item if type(item) in _AS_THEY_ARE else to_record(item, planes=planes)
            for name, item in zip(names, values_of(value), strict=True)
        }
    if kind is dict:
        return {key: to_record(item) for key, item in value.items()}
    raise SchemaError(f"a {type(value).__name__} cannot travel", rule="R-11")


@functools.cache
def _fields(kind: Any) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """Return the names of a dataclass's fields, in order, and a function that gets their values."""
    names = tuple(f.name for f in dataclasses.fields(kind))
    return names, operator.attrgetter(*names) if len(names) > 1 else lambda value: tuple(
        getattr(value, name) for name in names
    )


def from_record(
    kind: type[T], plain: Any, where: str = "", *, planes: PlaneReader | None = None
) -> T:
    """Return the record of type `kind` that `plain` describes, with its columns read from `planes`.

    Raises SchemaError, BoundsError where the record refuses a value, and TypeError where `kind`
    cannot be read at all.
    """
    value: T = _reader(typing.cast(Any, kind))(
        plain, where or getattr(kind, "__name__", str(kind)), planes
    )
    return value


@functools.cache
def _reader(hint: Any) -> Reader:
    """Return the function that reads a value of this annotation. Raises TypeError where none does.

    The function is chosen once, since choosing costs more than reading.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = _reader(next(option for option in arguments if option is not types.NoneType))
        optional = types.NoneType in arguments
        return lambda plain, where, planes: (
            None if plain is None and optional else inner(plain, where, planes)
        )
    if origin is list or (origin is tuple and arguments[1:] == (Ellipsis,)):
        return partial(_read_items, origin, arguments[0], _reader(arguments[0]))
    if origin is tuple:
        return partial(_read_tuple, tuple(map(_reader, arguments)))
    if origin is dict or hint is dict:
        return lambda plain, where, planes: dict(expect(dict, plain, where))
    if isinstance(hint, typing.NewType):
        return _reader(hint.__supertype__)
    if hint in _SCALARS:
        return lambda plain, where, planes: (
            plain if type(plain) is hint else expect(hint, plain, where)
        )
    if hint is bytes:
        return lambda plain, where, planes: bytes(expect_binary(plain, where))
    if hint is datetime:
        return lambda plain, where, planes: read_instant(plain, where)
    if hint is Decimal:
        return lambda plain, where, planes: read_decimal(plain, where)
    if isinstance(hint, type) and issubclass(hint, Enum):
        members = {member.value: member for member in hint}
        return lambda plain, where, planes: read_enum(members, plain, where)
    if hint in TABLES:
        return partial(read_table, hint)
    if dataclasses.is_dataclass(hint):
        return _record_reader(typing.cast(Any, hint))
    raise TypeError(f"{hint!r} is no wire type")


def _read_items(
    kind: Any, hint: Any, reader: Reader, plain: Any, where: Place, planes: PlaneReader | None
) -> Any:
    """Return a list or tuple, as `kind` says, of items that are all read by `reader`."""
    items = expect(list, plain, where)
    if hint in _SCALARS and {hint}.issuperset(map(type, items)):
        return kind(items)
    return kind([reader(item, (where, i), planes) for i, item in enumerate(items)])


def _read_tuple(
    readers: tuple[Reader, ...], plain: Any, where: Place, planes: PlaneReader | None
) -> tuple[Any, ...]:
    items = expect(list, plain, where)
    if len(items) != len(readers):
        raise SchemaError(
            f"{len(items)} entries where {len(readers)} belong", subject=spelled(where), rule="R-11"
        )
    return tuple(
        [
            reader(item, (where, i), planes)
            for i, (reader, item) in enumerate(zip(readers, items, strict=True))
        ]
    )


def _record_reader(kind: Any) -> Reader:
    """Return the function that reads a dataclass. Raises TypeError for a field that nothing reads.

    Fields of `simple` need no more than their type; the function reads the others one by one.
    """
    readers = dict(_readers(kind))
    hints = {name: hint for name, hint in hints_of(kind).items() if name not in columns_of(kind)}
    simple = [name for name, hint in hints.items() if hint in (*_SCALARS, bytes)]
    simple_types = [hints[name] for name in simple]
    binary = [name for name in simple if hints[name] is bytes]
    others = [(name, reader) for name, reader in readers.items() if name not in simple]
    changeable = [name for name in readers if name not in hints or _may_change(hints[name])]

    def read(plain: Any, where: Place, planes: PlaneReader | None) -> Any:
        values = field_values(kind, plain, where).copy()
        for name in binary:
            if type(values[name]) is memoryview:
                values[name] = bytes(values[name])
        one_by_one = others
        if [type(values[name]) for name in simple] != simple_types:
            one_by_one = [*readers.items()]
        for name, reader in one_by_one:
            values[name] = reader(values[name], (where, name), planes)
        record = constructed(kind, values, where)
        # A record that sorted or rounded a value was not given its canonical form.
        for name in changeable:
            if not _is_same(getattr(record, name), values[name]):
                raise SchemaError(
                    "not in canonical order or form", subject=spelled((where, name)), rule="R-11"
                )
        return record

    return read


@functools.cache
def _readers(kind: type) -> tuple[tuple[str, Reader], ...]:
    """Return the name of each field with its reader.

    Raises TypeError for a field that nothing reads.
    """
    columns, readers = columns_of(kind), []
    if unknown := columns.keys() - hints_of(kind).keys():
        raise TypeError(
            f"{kind.__name__} names columns that are no fields: {', '.join(sorted(unknown))}"
        )
    for name, hint in hints_of(kind).items():
        try:
            readers.append(
                (name, _column_reader(columns[name]) if name in columns else _reader(hint))
            )
        except TypeError as exc:
            raise TypeError(f"{kind.__name__}.{name}: {exc}") from exc
    return tuple(readers)


def _column_reader(dtype: np.dtype[Any]) -> Reader:
    return lambda plain, where, planes: checked_column(
        claim_column(plain, where, planes, dtype)[1](None), where
    )


def _may_change(hint: Any) -> bool:
    """Return whether a record may change a value of this annotation, by sorting or rounding it."""
    options = (
        typing.get_args(hint)
        if typing.get_origin(hint) in (types.UnionType, typing.Union)
        else (hint,)
    )
    return any(option is float or typing.get_origin(option) is list for option in options)


def _is_same(decoded: Any, default: Any) -> bool:
    if isinstance(default, np.ndarray):
        return bool(decoded.dtype == default.dtype and len(decoded) == len(default))
    return bool(decoded == default)
