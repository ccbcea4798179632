"""Say where in a record a value stands, which fields it has, and what its class's checks raise.

Readers hand a `Place` down, which costs a pair for each step; its words are put together only for
an error.

What it does not do: it reads no values (`scalars`, `columns`, `tables`, `records`).
"""

import dataclasses
import functools
import typing
from typing import Any

from hyperfed.errors import BoundsError, HyperfedError, PacketError, SchemaError

__all__ = ["Place", "constructed", "field_values", "hints_of", "spelled", "type_name"]

Place = str | tuple["Place", str | int]
"""A name, or the place around with the field's name or the item's number in it."""


def spelled(place: Place) -> str:
    """Return the place in words, as in "Update.edges" or "Freeze.counted[3]"."""
    if isinstance(place, str):
        return place
    around, step = place
    return f"{spelled(around)}[{step}]" if isinstance(step, int) else f"{spelled(around)}.{step}"


@functools.cache
def hints_of(kind: Any) -> dict[str, Any]:
    """Return the annotation of each field of a dataclass, in the order of its fields."""
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


def field_values(kind: Any, plain: Any, where: Place) -> dict[str, Any]:
    """Return the plain values of a record by field name.

    Raises SchemaError where it is no map, and where a field is missing or unknown (R-11).
    """
    names = hints_of(kind).keys()
    if type(plain) is not dict:
        raise SchemaError(
            f"a {type_name(plain)} where a dict belongs", subject=spelled(where), rule="R-11"
        )
    if plain.keys() != names:
        # The sender's words may reach a terminal, so they are shown quoted.
        missing, unknown = sorted(names - plain.keys()), sorted(plain.keys() - names)[:5]
        parts = ([f"missing {', '.join(missing)}"] if missing else []) + (
            [f"unknown {', '.join(f'{u!r:.40}' for u in unknown)}"] if unknown else []
        )
        raise SchemaError(f"fields {' and '.join(parts)}", subject=spelled(where), rule="R-11")
    return typing.cast("dict[str, Any]", plain)


def type_name(plain: Any) -> str:
    """Return what a plain value is called in an error."""
    return "binary field" if type(plain) in (bytes, memoryview) else type(plain).__name__


def constructed(kind: Any, values: dict[str, Any], where: Place) -> Any:
    """Return a record of these values, and translate what its own checks raise.

    This is a boundary: the errors of those checks come out as a PacketError that says where. The
    types of the values were checked before. A TypeError or AttributeError is therefore a mistake in
    the checks themselves and passes unchanged.
    """
    try:
        return kind(**values)
    except PacketError:
        raise
    except HyperfedError as exc:
        raise BoundsError(
            exc.problem,
            subject=exc.subject or spelled(where),
            rule=exc.rule or "R-11",
            remedy=exc.remedy,
        ) from exc
    except (ValueError, LookupError, ArithmeticError) as exc:
        raise BoundsError(str(exc)[:200], subject=spelled(where), rule="R-11") from exc
