"""Typed records <-> plain values: a frozen dataclass is a map of its fields, checked against their annotations.

1. Every field is present, none is unknown, each has exactly its annotated type: bool is not int, int is not float (R-11).
2. Columns travel as [dtype, little-endian buffer]; reading makes a read-only view, not a copy. In a compressed document a column of 512 bytes or
   more is [dtype + ":planes", what `planes` makes of it]; dataclasses are walked in the order of their fields, so that writer and reader meet the same column.
3. confidence and stability may travel as integers of 16 or 8 bits, k for k / (2**bits - 1): within 0.5 / (2**bits - 1) of what they were (7.7e-6, 0.002),
   and one rounding of the table's floats.
4. Instants are integer microseconds since 1970 UTC; decimals are texts; enums their values; None is null.

Supported annotations: bool, int, float, str, bytes, datetime, Decimal, Enum, X | None, tuple[X, ...], tuple[A, B], list[X],
dict[str, scalar], NDArray, and dataclasses of these.
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

from hyperfed.codec.planes import SMALLEST, Coding, PlaneReader, PlaneWriter, read_all
from hyperfed.codec.quick import quick_reader
from hyperfed.codec.quick_tables import quick_edges
from hyperfed.codec.scalars import decimal_text, expect, expect_binary, micros_of, read_decimal, read_enum, read_instant
from hyperfed.columns import all_finite
from hyperfed.errors import BoundsError, HyperfedError, PacketError, SchemaError
from hyperfed.tables import DeltaTable, EdgeTable, HyperedgeTable

__all__ = ["from_record", "to_record"]

T = TypeVar("T")
Reader = Callable[[Any, str, PlaneReader | None], Any]

_AS_THEY_ARE = frozenset((types.NoneType, bool, int, float, str, bytes, memoryview))
_TABLES = (EdgeTable, DeltaTable, HyperedgeTable)
_WIRE_DTYPES = ("|b1", "<f4", "<f8", "<i4", "<i8", "<u2", "<u4", "<u8", "|u1")
_IN_PLANES = ":planes"
_FORMS = {name + way: (np.dtype(name), bool(way)) for name in _WIRE_DTYPES for way in ("", _IN_PLANES)}  # what a column says it is
_UNIT = ("confidence", "stability")
_UNIT_DTYPES = {8: "|u1", 16: "<u2"}
_TOLD = {"ci_low": Coding.BELOW, "ci_high": Coding.MIRROR}  # by the columns before them
_STEPS = ("source", "target", "sources", "offsets")  # ascending, or nearly so


def to_record(value: Any, *, planes: PlaneWriter | None = None, unit_bits: int | None = None) -> Any:
    """The plain value of a record. planes: takes its large columns; unit_bits: 8 or 16, of confidence and stability in tables.

    Raises SchemaError for a type that cannot travel."""
    kind: Any = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind in (tuple, list):
        if _AS_THEY_ARE.issuperset(map(type, value)):
            return [*value]
        return [item if type(item) in _AS_THEY_ARE else to_record(item, planes=planes, unit_bits=unit_bits) for item in value]
    if isinstance(value, datetime):
        return micros_of(value)
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.ndarray):
        if not all_finite(value):
            raise SchemaError("a column holds a number that is not finite", rule="R-10")
        return _write_column(value, planes, Coding.STEP if _ascends(value) else Coding.PLAIN)
    if isinstance(value, _TABLES):
        return _write_table(value, planes, unit_bits)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names, values_of = _fields(kind)
        return {
            name: item if type(item) in _AS_THEY_ARE else to_record(item, planes=planes, unit_bits=unit_bits)
            for name, item in zip(names, values_of(value), strict=True)
        }
    if kind is dict:
        return {key: to_record(item) for key, item in value.items()}
    raise SchemaError(f"a {type(value).__name__} cannot travel", rule="R-11")


@functools.cache
def _fields(kind: Any) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """The names of a dataclass's fields, in their order, and what takes their values out of one."""
    names = tuple(f.name for f in dataclasses.fields(kind))
    return names, operator.attrgetter(*names) if len(names) > 1 else lambda value: tuple(getattr(value, name) for name in names)


def _write_table(table: Any, planes: PlaneWriter | None, unit_bits: int | None) -> dict[str, Any]:
    """A table's columns, which it has checked itself: keys as steps, an interval by its effect, its upper end by its lower one."""
    out: dict[str, Any] = {}
    names, columns_of = _fields(typing.cast(Any, type(table)))
    for name, column in zip(names, columns_of(table), strict=True):
        if column is None:
            out[name] = None
        elif name in _UNIT and unit_bits is not None:
            out[name] = _write_column(_scaled(column, unit_bits), planes)
        elif name in _TOLD:
            out[name] = _write_column(column, planes, _TOLD[name], (table.effect, table.ci_low))
        else:
            out[name] = _write_column(column, planes, Coding.STEP if name in _STEPS else Coding.PLAIN)
    return out


def _ascends(column: np.ndarray[Any, Any]) -> bool:
    """Whether a column by itself is of ascending numbers, as variables and places are."""
    return bool(column.dtype.kind == "u" and np.all(column[1:] >= column[:-1]))


def _scaled(column: np.ndarray[Any, Any], bits: int) -> np.ndarray[Any, Any]:
    return np.asarray(np.rint(column * column.dtype.type((1 << bits) - 1)).astype(_UNIT_DTYPES[bits]))


def _write_column(column: np.ndarray[Any, Any], planes: PlaneWriter | None, coding: Coding = Coding.PLAIN, around: Any = None) -> list[Any]:
    little, as_it_is, in_planes = _forms_of(column.dtype)
    if planes is None or column.nbytes < SMALLEST or column.dtype.kind == "b":
        return [as_it_is, _buffer(column)]
    return [in_planes, planes.put(np.ascontiguousarray(column, dtype=little), coding, around)]


@functools.cache
def _forms_of(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], str, str]:
    """A column's dtype as it travels, and how that is spelled without and with planes. Raises SchemaError where it does not travel."""
    little = dtype.newbyteorder("<") if dtype.itemsize > 1 else dtype
    if little.str not in _WIRE_DTYPES:
        raise SchemaError(f"a column of {dtype} cannot travel", rule="R-11")
    return little, little.str, little.str + _IN_PLANES


def _buffer(array: np.ndarray[Any, Any]) -> memoryview:
    little = array.dtype.newbyteorder("<")
    return np.ascontiguousarray(array, dtype=little).data.cast("B") if array.size else memoryview(b"")


def from_record(kind: type[T], plain: Any, where: str = "", *, planes: PlaneReader | None = None) -> T:
    """The record of type `kind` that `plain` spells, with the columns of `planes`. Raises SchemaError, and BoundsError where the record refuses a value."""
    value: T = _read(kind, plain, where or getattr(kind, "__name__", str(kind)), planes)
    return value


def _read(hint: Any, plain: Any, where: str, planes: PlaneReader | None) -> Any:
    return _reader(hint)(plain, where, planes)


@functools.cache
def _reader(hint: Any) -> Reader:
    """What reads a value of that annotation: chosen once, since choosing costs more than reading."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = _reader(next(option for option in arguments if option is not types.NoneType))
        optional = types.NoneType in arguments
        return lambda plain, where, planes: None if plain is None and optional else inner(plain, where, planes)
    if origin is tuple:
        return partial(_read_tuple, arguments)
    if origin is list:
        item = _reader(arguments[0])
        return lambda plain, where, planes: [item(value, f"{where}[{i}]", planes) for i, value in enumerate(expect(list, plain, where))]
    if origin is dict or hint is dict:
        return lambda plain, where, planes: dict(expect(dict, plain, where))
    if origin is np.ndarray:
        dtype = _dtype_of(hint)
        return lambda plain, where, planes: _checked_column(_claim_column(plain, where, planes, dtype)[1](None), where)
    if isinstance(hint, typing.NewType):
        return _reader(hint.__supertype__)
    if hint in (bool, int, float, str):
        return lambda plain, where, planes: plain if type(plain) is hint else expect(hint, plain, where)
    if hint is bytes:
        return lambda plain, where, planes: bytes(expect_binary(plain, where))
    if hint is datetime:
        return lambda plain, where, planes: read_instant(plain, where)
    if hint is Decimal:
        return lambda plain, where, planes: read_decimal(plain, where)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda plain, where, planes: read_enum(hint, plain, where)
    if hint in _TABLES:
        return partial(_read_table, hint)
    if dataclasses.is_dataclass(hint):
        quick = quick_reader(typing.cast(Any, hint))
        return partial(_read_dataclass, hint) if quick is None else partial(_read_quickly, quick, hint)
    return partial(_refuse_kind, hint)


def _refuse_kind(hint: Any, plain: Any, where: str, planes: PlaneReader | None) -> Any:
    raise SchemaError(f"{hint!r} is no wire type", subject=where, rule="R-11")


def _read_tuple(hints: tuple[Any, ...], plain: Any, where: str, planes: PlaneReader | None) -> tuple[Any, ...]:
    items = expect(list, plain, where)
    if len(hints) == 2 and hints[1] is Ellipsis:
        return tuple(_read(hints[0], item, f"{where}[{i}]", planes) for i, item in enumerate(items))
    if len(items) != len(hints):
        raise SchemaError(f"{len(items)} entries where {len(hints)} belong", subject=where, rule="R-11")
    return tuple(_read(hint, item, f"{where}[{i}]", planes) for i, (hint, item) in enumerate(zip(hints, items, strict=True)))


def _dtype_of(hint: Any) -> np.dtype[Any] | None:
    """Of an annotation NDArray[dtype]; None for one of any."""
    (scalar,) = typing.get_args(typing.get_args(hint)[1])
    return None if scalar is Any else np.dtype(scalar)


def _claim_column(plain: Any, where: str, planes: PlaneReader | None, needed: np.dtype[Any] | None = None) -> tuple[int, Callable[[Any], Any]]:
    """(rows, what reads the column, given (effect,) or (effect, ci_low) where its coding needs them). Its form, dtype and size are checked now, its values are
    not.

    needed: its dtype, None: any. One of another would be refused once it had been cast, and the cast may take eight times what was declared."""
    pair = expect(list, plain, where)
    dtype, coded = (_FORMS.get(pair[0]) if len(pair) == 2 and type(pair[0]) is str else None) or (None, False)
    if dtype is None or (coded and planes is None):
        raise SchemaError(f"a column is [dtype, bytes] with a dtype of {', '.join(_WIRE_DTYPES)}", subject=where, rule="R-11")
    if needed is not None and dtype != needed:
        raise SchemaError(f"column of {dtype}; {needed} belongs here", subject=where, rule="R-11")
    buffer = expect_binary(pair[1], where)
    if coded and planes is not None:
        return planes.claim(buffer, dtype, where)
    if len(buffer) % dtype.itemsize:
        raise SchemaError(f"{len(buffer)} bytes are no whole number of {dtype.str}", subject=where, rule="R-11")
    return len(buffer) // dtype.itemsize, lambda around: np.frombuffer(buffer, dtype=dtype)


def _checked_column(column: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    if not all_finite(column):
        raise SchemaError("a column holds a number that is not finite", subject=where, rule="R-10")
    if column.dtype.kind == "b" and (column.view(np.uint8) > 1).any():
        raise SchemaError("a boolean column holds only 0 and 1", subject=where, rule="R-11")
    return column


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


@functools.cache
def _readers(kind: type) -> tuple[tuple[str, Reader], ...]:
    return tuple((name, _reader(hint)) for name, hint in _hints(kind).items())


def _fields_of(kind: type, plain: Any, where: str) -> dict[str, Any]:
    given = expect(dict, plain, where)
    names = _hints(kind).keys()
    if given.keys() != names:
        missing, unknown = sorted(names - given.keys()), sorted(given.keys() - names)[:5]  # the sender's words are shown quoted: they reach terminals
        parts = ([f"missing {', '.join(missing)}"] if missing else []) + ([f"unknown {', '.join(f'{u!r:.40}' for u in unknown)}"] if unknown else [])
        raise SchemaError(f"fields {' and '.join(parts)}", subject=where, rule="R-11")
    return dict(given)


def _read_quickly(quick: Callable[[Any], Any], kind: Any, plain: Any, where: str, planes: PlaneReader | None) -> Any:
    """A record without columns. What is not read at once is read field by field: that says which one is wrong, and how."""
    try:
        return quick(plain)
    except (HyperfedError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError):
        return _read_dataclass(kind, plain, where, planes)


def _read_dataclass(kind: Any, plain: Any, where: str, planes: PlaneReader | None) -> Any:
    given = _fields_of(kind, plain, where)
    values = {name: read(given[name], f"{where}.{name}", planes) for name, read in _readers(kind)}
    record = _construct(kind, values, where)
    for name, value in values.items():  # a record that sorted or rounded what it got was not given its canonical form
        if isinstance(value, list | np.ndarray | float) and not _same(getattr(record, name), value):
            raise SchemaError("not in canonical order or form", subject=f"{where}.{name}", rule="R-11")
    return record


def _same(kept: Any, given: Any) -> bool:
    if isinstance(given, np.ndarray):
        return bool(kept.dtype == given.dtype and len(kept) == len(given))
    return bool(kept == given)


def _read_table(kind: Any, plain: Any, where: str, planes: PlaneReader | None) -> Any:
    if kind is EdgeTable and planes is not None and (quickly := quick_edges(plain, planes)) is not None:
        return quickly
    given = _fields_of(kind, plain, where)
    before = planes.left if planes else 0
    needed = _needed(kind, given)
    both = {name: _claim_column(given[name], f"{where}.{name}", planes, needed.get(name)) for name in _hints(kind) if given[name] is not None}
    for name in _UNIT:  # a rounded one is cast, to four times its bytes or eight
        if name in both and "effect" in both and both[name][0] != both["effect"][0]:
            raise BoundsError(f"has {both[name][0]} rows where effect has {both['effect'][0]}", subject=f"{where}.{name}", rule="R-11")
    claimed = {name: read for name, (_, read) in both.items()}
    told = {name: claimed.pop(name) for name in ("effect", *_TOLD) if name in claimed}  # each may need those before it, in this order

    def interval() -> tuple[np.ndarray[Any, Any], ...]:
        done: tuple[np.ndarray[Any, Any], ...] = ()
        for claim in told.values():
            done += (claim(done),)
        return done

    jobs: list[Callable[[], Any]] = [interval, *(partial(claim, None) for claim in claimed.values())]
    ends, *read = read_all(jobs, before - planes.left if planes else 0)
    columns: dict[str, Any] = dict.fromkeys(_hints(kind)) | dict(zip(claimed, read, strict=True)) | dict(zip(told, ends, strict=True))
    effect = columns.get("effect")
    for name in _UNIT:
        column = columns.get(name)
        if column is not None and column.dtype.kind == "u" and column.dtype.itemsize <= 2 and effect is not None and effect.dtype.kind == "f":
            columns[name] = column.astype(effect.dtype) / effect.dtype.type(np.iinfo(column.dtype).max)
    table = _construct(kind, columns, where)
    for name, column in columns.items():
        kept = getattr(table, name)
        if (column is None) != (kept is None) or (column is not None and kept.dtype != column.dtype):
            raise SchemaError(
                f"column of {column.dtype if column is not None else 'null'}; {kept.dtype if kept is not None else 'null'} belongs here",
                subject=f"{where}.{name}",
                rule="R-11",
            )
    return table


def _needed(kind: Any, given: dict[str, Any]) -> dict[str, np.dtype[Any]]:
    """The dtypes of a table's columns: its whole numbers' own; for all others that of its first float column, where there is one, but units may be rounded."""
    pairs = {name: pair for name, pair in given.items() if type(pair) is list and pair and type(pair[0]) is str and pair[0] in _FORMS}
    said = {name: _FORMS[pair[0]][0] for name, pair in pairs.items()}
    floats = [name for name in _hints(kind) if name not in kind.INTEGERS]
    float_ = next((said[name] for name in floats if name in said and said[name].kind == "f"), np.dtype(np.float64))
    rounded = {np.dtype(form) for form in _UNIT_DTYPES.values()}
    own = {name: said[name] if name in _UNIT and said.get(name) in rounded else float_ for name in floats}
    return own | {name: np.dtype(whole) for name, whole in kind.INTEGERS.items()}


def _construct(kind: Any, values: dict[str, Any], where: str) -> Any:
    """A boundary: whatever a record's own checks raise comes out as a PacketError that says where."""
    try:
        return kind(**values)
    except PacketError:
        raise
    except HyperfedError as exc:
        raise BoundsError(exc.problem, subject=exc.subject or where, rule=exc.rule or "R-11", remedy=exc.remedy) from exc
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as exc:
        raise BoundsError(str(exc)[:200], subject=where, rule="R-11") from exc
