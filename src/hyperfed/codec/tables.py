"""Write a table as a map of columns, and read it again.

1. Keys travel as steps, the lower end of an interval by its effect, the upper end by effect and
   lower end (`planes`).
2. A table is read column by column, each checked before it is inflated, and then checks itself. A
   whole sound table of edges is read at once (`whole_tables`), to the same bytes.

What it does not do: it decides nothing about values (`hyperfed.tables`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from hyperfed.codec.columns import FORMS, claim_column, write_column
from hyperfed.codec.fields import Place, constructed, field_values, hints_of, spelled
from hyperfed.codec.planes import Coding, PlaneReader, PlaneWriter, read_all
from hyperfed.codec.whole_tables import read_whole
from hyperfed.errors import SchemaError
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import DeltaTable, EdgeTable

__all__ = ["TABLES", "read_table", "write_table"]

TABLES = (EdgeTable, DeltaTable, HyperedgeTable)

# The columns that are coded by the columns before them.
_INTERVAL = {"ci_low": Coding.BELOW, "ci_high": Coding.MIRROR}
_STEPS = ("source", "target", "sources", "offsets")  # these columns ascend, or nearly do

Column = np.ndarray[Any, Any]


def write_table(table: Any, planes: PlaneWriter | None) -> dict[str, Any]:
    """Return a table's columns as they travel. The table has checked its columns itself."""
    columns: dict[str, Any] = {}
    kind: Any = type(table)
    for name in hints_of(kind):
        column = getattr(table, name)
        if column is None:
            columns[name] = None
        elif name in _INTERVAL:
            columns[name] = write_column(
                column, planes, _INTERVAL[name], (table.effect, table.ci_low)
            )
        else:
            columns[name] = write_column(
                column, planes, Coding.STEP if name in _STEPS else Coding.PLAIN
            )
    return columns


def read_table(kind: Any, plain: Any, where: Place, planes: PlaneReader | None) -> Any:
    """Return the table of type `kind` that `plain` describes.

    Raises SchemaError, and BoundsError where the table refuses a value.
    """
    if (
        kind is EdgeTable
        and planes is not None
        and (whole := read_whole(plain, planes)) is not None
    ):
        return whole
    # 1. Check what each column says of itself.
    values = field_values(kind, plain, where)
    budget = planes.left if planes else 0
    dtypes = _dtypes_that_belong(kind, values)
    claims = {
        name: claim_column(values[name], (where, name), planes, dtypes.get(name))
        for name in hints_of(kind)
        if values[name] is not None
    }
    # 2. Read the columns, the interval one after the other.
    columns = _read_columns(kind, claims, budget - planes.left if planes else 0)
    # 3. Let the table check its values.
    table = constructed(kind, columns, where)
    for name, column in columns.items():
        table_column = getattr(table, name)
        if (column is None) != (table_column is None) or (
            column is not None and table_column.dtype != column.dtype
        ):
            raise SchemaError(
                f"column of {column.dtype if column is not None else 'null'}; "
                f"{table_column.dtype if table_column is not None else 'null'} belongs here",
                subject=spelled((where, name)),
                rule="R-11",
            )
    return table


def _read_columns(
    kind: Any, claims: dict[str, tuple[int, Callable[[Any], Column]]], size: int
) -> dict[str, Column | None]:
    """Return the columns of a table by name, None where one is not given.

    `size` is their raw bytes. From a certain size two threads share the work; ci_low and ci_high
    are computed from effect, so these three are read one after the other.
    """
    interval = [name for name in ("effect", *_INTERVAL) if name in claims]
    others = [name for name in claims if name not in interval]

    def read_interval() -> tuple[Column, ...]:
        ends: tuple[Column, ...] = ()
        for name in interval:
            ends += (claims[name][1](ends),)
        return ends

    jobs: list[Callable[[], Any]] = [
        read_interval,
        *(partial(claims[name][1], None) for name in others),
    ]
    ends, *columns = read_all(jobs, size)
    return (
        dict.fromkeys(hints_of(kind))
        | dict(zip(others, columns, strict=True))
        | dict(zip(interval, ends, strict=True))
    )


def _dtypes_that_belong(kind: Any, values: dict[str, Any]) -> dict[str, np.dtype[Any]]:
    """Return the dtype that each column of a table must have.

    Columns of whole numbers have their own. All others have that of the table's first float column,
    or float64 where it has none.
    """
    declared = {
        name: FORMS[pair[0]][0]
        for name, pair in values.items()
        if type(pair) is list and pair and type(pair[0]) is str and pair[0] in FORMS
    }
    floats = [name for name in hints_of(kind) if name not in kind.INTEGERS]
    float_ = next(
        (declared[name] for name in floats if name in declared and declared[name].kind == "f"),
        np.dtype(np.float64),
    )
    return dict.fromkeys(floats, float_) | {
        name: np.dtype(whole) for name, whole in kind.INTEGERS.items()
    }
