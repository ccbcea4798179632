"""Say where a client's edges come from, as options and settings do.

`submit`, `client night` and the flow share this module.

1. There is one definition of the options. Each overrides a setting of section [data] in
   hyperfed.toml, so that a nightly command needs none.
2. There are four kinds of source:

   - a time series (file, time or series, columns, lags, bootstraps, seed; every, fill_gaps), for
     the built-in engine or another one by its name (engine),
   - a table, whose rows have no order, for an engine by its name (file, columns, bootstraps, seed),
   - the user's own engine, MODULE:FACTORY (engine, and file where it takes one),
   - finished edges (edges, measured, lags).

   How files are written (delimiter, decimal, missing) and units (unit, convert) go with all but the
   user's own engine. `engines.catalogue` knows what each engine reads.

   An option that does not belong to the kind is refused where it was given. A kind that the
   command line chooses sets aside what hyperfed.toml says about another.

What it does not do: it does not read or run anything (`finding`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperfed.errors import ConfigError

if TYPE_CHECKING:
    from hyperfed.client.settings import Settings
    from hyperfed.engines.readers.sheet import Form
    from hyperfed.engines.readers.units import Units
    from hyperfed.engines.time_order import Timing

__all__ = ["OPTIONS", "Source", "arguments_of", "given_source", "option_words", "read_source"]

_FORM = ("delimiter", "decimal", "missing")
_UNITS = ("unit", "convert")
_TIME = ("time", "series", "every", "fill_gaps")
_RUN = ("file", "engine", "columns", "lags", "bootstraps", "seed", "intervened")
_KINDS = {
    "series": (*_RUN, *_TIME, *_FORM, *_UNITS),
    "table": (*_RUN, *_FORM, *_UNITS),
    "engine": ("engine", "file", "intervened"),
    "edges": ("edges", "measured", "lags", "intervened", *_FORM, *_UNITS),
}
OPTIONS = {
    "file": "--data",
    "time": "--time",
    "series": "--series",
    "columns": "--columns",
    "lags": "--lags",
    "bootstraps": "--bootstraps",
    "seed": "--seed",
    "engine": "--engine",
    "edges": "--edges",
    "measured": "--measured",
    "intervened": "--intervened",
    "every": "--every",
    "fill_gaps": "--fill-gaps",
    "delimiter": "--delimiter",
    "decimal": "--decimal",
    "missing": "--missing",
    "unit": "--unit",
    "convert": "--convert",
}
"""The option for each setting about the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Says where the edges come from."""

    kind: str
    """The kind of source: "series", "table", "engine" or "edges"."""
    file: Path | None = None
    """A time series or a table, or the data that the user's own engine takes."""
    engine: str | None = None
    """An engine's name, or the user's own engine as MODULE:FACTORY; None: the built-in one."""
    edges: Path | None = None
    """A CSV of finished edges."""
    measured: tuple[str, ...] | None = None
    """The variables measured, for finished edges."""
    intervened: tuple[str, ...] = ()
    """The variables that an experiment set in these data."""
    columns: tuple[str, ...] | None = None
    """The columns to use of a time series."""
    time: str | None = None
    """The column that holds the rows' times."""
    series: bool = False
    """Whether the user says that rows are time steps, oldest first."""
    lags: tuple[int, ...] | None = None
    """The lags that the built-in engine looks at, or at which finished edges were looked for."""
    every: str | None = None
    """How long a step is, such as "1h"."""
    fill_gaps: str | None = None
    """What fills steps without a row: "none"."""
    delimiter: str | None = None
    """What separates the cells of a file; None recognises it."""
    decimal: str | None = None
    """The decimal sign of a file; None recognises it."""
    missing: tuple[str, ...] = ()
    """What means a missing value, beside the usual markers."""
    unit: Mapping[str, str] = field(default_factory=dict)
    """The units of variables in the data."""
    convert: Mapping[str, str] = field(default_factory=dict)
    """How variables become the round's units."""
    max_lag: int = 1
    """The longest lag that the built-in engine tries, in time steps."""
    bootstraps: int = 100
    """The number of resamples of the built-in engine."""
    seed: int = 0
    """The seed of the built-in engine."""
    folder: Path | None = None
    """The folder of hyperfed.toml.

    The user's own engine is looked for there, and in the working directory.
    """

    @property
    def form(self) -> "Form":
        """The form in which the file is written.

        Raises ConfigError where no file is written so.
        """
        from hyperfed.engines.readers.sheet import Form

        return Form(delimiter=self.delimiter, decimal=self.decimal, missing=self.missing)

    @property
    def timing(self) -> "Timing":
        """The settings about time.

        Raises ConfigError for a step that is none.
        """
        from hyperfed.engines.time_order import Timing

        return Timing(
            column=self.time, in_order=self.series, every=self.every, fill_gaps=self.fill_gaps
        )

    @property
    def units(self) -> "Units":
        """The settings about units.

        Raises ConfigError for a conversion that is none.
        """
        from hyperfed.engines.readers.units import Units

        units = Units(said=self.unit, convert=self.convert)
        units.conversions()
        return units


def given_source(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options given about the source, by their names in section [data]."""
    return {
        name.removeprefix("data."): value
        for name, value in options.items()
        if name.startswith("data.")
    }


def read_source(settings: "Settings", overrides: Mapping[str, Any]) -> Source | None:
    """Return the source that the settings name, with their overrides; None where there is none.

    `overrides` are those that `given_source` returns. Raises ConfigError.
    """
    values = given_source(settings.values)
    chosen = overrides.keys() & {"file", "engine", "edges"}
    if "edges" in chosen:
        kind = "edges"
    elif chosen:
        kind = _kind_of(values.get("engine"))
    else:
        kind = "edges" if "edges" in values else _kind_of(values.get("engine"))
    for place, entries in (("option", overrides), *(() if chosen else (("setting", values),))):
        stray = next((name for name in entries if name not in _KINDS[kind]), None)
        if stray is not None:
            raise _stray(
                kind,
                stray,
                str(settings.path) if place == "setting" and settings.path else "options",
            )
    values = {name: value for name, value in values.items() if name in _KINDS[kind]}
    needed = {"edges"} if kind == "edges" else {"engine"} if kind == "engine" else {"file"}
    if not values.keys() & needed:
        if values and overrides:
            raise ConfigError(
                "no data are given",
                subject="options",
                remedy="Add --data FILE.csv, or [data] file in hyperfed.toml",
            )
        return None
    source = Source(kind=kind, folder=settings.base, **values)
    # What they cannot be is said before a store is opened.
    for part, names in (("form", _FORM), ("timing", ("every", "fill_gaps")), ("units", _UNITS)):
        if values.keys() & set(names):
            getattr(source, part)
    return source


def _kind_of(engine: str | None) -> str:
    """Return the kind of source that an engine reads. Raises ConfigError for an unknown name."""
    if engine is None:
        return "series"
    if ":" in engine:
        return "engine"
    from hyperfed.engines.catalogue import AUTO, reads  # imports numpy, so only where needed

    return "series" if engine == AUTO else reads(engine)


def _stray(kind: str, name: str, subject: str) -> ConfigError:
    """Return the error for an option or setting that does not belong to the kind of source."""

    def word(one: str) -> str:
        return OPTIONS[one] if subject == "options" else f"[data] {one}"

    if kind == "edges":
        return ConfigError(
            f"{word('edges')} goes without {word(name)}",
            subject=subject,
            remedy="Leave it out: finished edges need no engine and no data",
        )
    if kind == "engine":
        return ConfigError(
            f"{word('engine')} goes without {word(name)}",
            subject=subject,
            remedy=(
                "That option is for the built-in engine: set it in the factory of your own engine"
            ),
        )
    if kind == "table" and name in _TIME:
        return ConfigError(
            f"{word(name)} goes with an engine for time series",
            subject=subject,
            remedy=(
                "Leave it out, or name an engine for series (var, varlingam or auto): this one "
                "reads rows of any order"
            ),
        )
    return ConfigError(
        f"{word(name)} goes with {word('edges')}",
        subject=subject,
        remedy="Give the file of finished edges, or leave it out",
    )


def arguments_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options given about the source so that they can be repeated from another folder.

    The result is {setting: value}, with absolute paths.
    """
    return {
        name: value.resolve()
        if isinstance(value, Path)
        else list(value)
        if isinstance(value, tuple)
        else dict(value)
        if isinstance(value, Mapping)
        else value
        for name, value in values.items()
    }


def option_words(arguments: Mapping[str, Any]) -> list[str]:
    """Return what `arguments_of` returned as words of a command line."""
    words: list[str] = []
    for name, value in arguments.items():
        if isinstance(value, bool):
            words.append(OPTIONS[name] if value else f"--no-{name}")
        elif isinstance(value, Mapping):
            for one, unit in value.items():
                words += [OPTIONS[name], f"{one}={unit}"]
        else:
            many = isinstance(value, list)
            words += [OPTIONS[name], ",".join(map(str, value)) if many else str(value)]
    return words
