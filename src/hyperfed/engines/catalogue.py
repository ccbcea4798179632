"""Name the engines that can be chosen, Hyperfed's own and those of installed packages.

1. An engine is a class, or a factory, that is called with data and names:
   `make(values, names, lags=..., knowledge=..., n_bootstrap=..., rng=..., progress=...)`. It gets
   what its signature takes, and no more.
2. Its attribute `reads` says what its rows are: "series", steps in time, or "table", any order. An
   engine without it reads a series.
3. A package offers one in the entry-point group `hyperfed.engines`, under a name that none of
   Hyperfed's own engines has: a package must not take their place in silence.
4. A library is imported when its engine is asked for, and not before.
5. `auto` takes the built-in VAR for a series; for a table DirectLiNGAM, where every column's
   distribution is found to differ from a normal one, as its method needs, and PC otherwise. It says
   what it chose and why.
"""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np
import numpy.typing as npt

from hyperfed.engines.base import Engine
from hyperfed.engines.effects import standardised
from hyperfed.errors import ConfigError, EngineError, HyperfedError

__all__ = ["AUTO", "GROUP", "OWN", "Choice", "choose", "engine_names", "make_engine", "reads"]

AUTO = "auto"
"""The name that leaves the choice to the data."""
GROUP = "hyperfed.engines"
"""The entry-point group in which packages offer engines."""
OWN = {
    "var": ("hyperfed.engines.var:VarEngine", "series"),
    "varlingam": ("hyperfed.engines.causal_learn_series:VarLingamEngine", "series"),
    "pc": ("hyperfed.engines.causal_learn:PcEngine", "table"),
    "ges": ("hyperfed.engines.causal_learn:GesEngine", "table"),
    "fci": ("hyperfed.engines.causal_learn:FciEngine", "table"),
    "lingam": ("hyperfed.engines.causal_learn:LingamEngine", "table"),
}
"""Hyperfed's own engines: where each is, and what its rows are."""

_KINDS = ("series", "table")
_NORMAL_BELOW = 9.21  # the 99 % quantile of chi-squared with 2 degrees of freedom

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Holds which engine `auto` chose, and why."""

    name: str
    """The engine's name."""
    why: str
    """The reason, as a sentence."""


def _offered() -> dict[str, EntryPoint]:
    """Return the engines of installed packages, by name. Raises ConfigError for a repeated name."""
    offered: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        other = offered.get(point.name)
        if point.name in OWN or point.name == AUTO or (other and other.value != point.value):
            raise ConfigError(
                f"the package {_package(point)} offers an engine of a name that is taken",
                subject=f"engine {point.name!r:.80}",
                remedy="Uninstall it, or ask its authors for another name",
            )
        offered[point.name] = point
    return offered


def _package(point: EntryPoint) -> str:
    return point.value if point.dist is None else point.dist.name


def engine_names() -> tuple[str, ...]:
    """Return the names of the engines that can be chosen, ascending.

    Raises ConfigError.
    """
    return tuple(sorted({*OWN, AUTO, *_offered()}))


def _maker(name: str) -> Any:
    """Return what makes the engine of a name. Raises ConfigError where there is none."""
    offered = {} if name in OWN else _offered()
    if name not in OWN and name not in offered:
        raise ConfigError(
            "there is no such engine",
            subject=f"--engine {name!r:.80}",
            remedy=(
                f"Choose one of {', '.join(sorted({*OWN, AUTO, *offered}))}; your own is "
                "MODULE:FACTORY"
            ),
        )
    try:
        if name in offered:
            return offered[name].load()
        module, _, attribute = OWN[name][0].partition(":")
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as exc:
        raise ConfigError(
            f"cannot be imported: {exc}",
            subject=f"--engine {name!r:.80}",
            remedy="Install the package again, or what it needs",
        ) from exc


def reads(name: str) -> str:
    """Return what an engine's rows are: "series" or "table". Raises ConfigError."""
    if name in OWN:
        return OWN[name][1]
    kind = getattr(_maker(name), "reads", "series")
    if kind not in _KINDS:
        raise ConfigError(
            f"says that it reads {kind!r:.40}; series or table is needed",
            subject=f"--engine {name!r:.80}",
            remedy="Use another engine, and tell this one's authors",
        )
    return str(kind)


def make_engine(
    name: str, values: npt.ArrayLike, names: Sequence[str], options: Mapping[str, Any]
) -> Engine:
    """Return an engine over data, with the options that it takes.

    Raises ConfigError where there is no such engine, EngineError where it cannot be made.
    """
    make = _maker(name)
    try:
        parameters = inspect.signature(make).parameters
        accepted_options = {key: value for key, value in options.items() if key in parameters}
        engine: Engine = make(values, names, **accepted_options)
    except HyperfedError:
        raise
    except Exception as exc:
        raise EngineError(
            f"failed: {type(exc).__name__}: {exc}"[:300],
            subject=f"engine {name}",
            remedy="Run the command with --debug to see its traceback",
        ) from exc
    return engine


def choose(kind: str, values: Floats, names: Sequence[str]) -> Choice:
    """Return which of Hyperfed's own engines fits the data, and why."""
    if kind == "series":
        return Choice(name="var", why="rows are steps in time")
    whole = values[np.isfinite(values).all(axis=1)]
    normal = _normal_columns(whole) if len(whole) else np.ones(len(names), dtype=bool)
    if normal.any():
        first = names[int(np.argmax(normal))]
        return Choice(
            name="pc",
            why=f"rows are no steps in time, and {int(normal.sum())} of {len(names)} columns "
            f"({first!s:.40} ...) may be normal, which DirectLiNGAM cannot use",
        )
    return Choice(
        name="lingam",
        why="rows are no steps in time, and no column is normal, which gives every edge a "
        "direction",
    )


def _normal_columns(values: Floats) -> npt.NDArray[np.bool_]:
    """Return which columns the test of Jarque and Bera (1980) does not tell from normal ones."""
    standard, _ = standardised(values)
    skew, kurtosis = (standard**3).mean(axis=0), (standard**4).mean(axis=0)
    statistic = len(values) / 6 * (skew**2 + (kurtosis - 3) ** 2 / 4)
    return np.asarray(statistic < _NORMAL_BELOW)
