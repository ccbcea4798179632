"""Define the options that say where edges come from. `client.sources` reads what they say."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from hyperfed.cli.options import FILE, add_options, setting_option
from hyperfed.cli.values import Assignment, Lags, Names

__all__ = ["source_options"]


F = TypeVar("F", bound=Callable[..., Any])


def source_options(command: F) -> F:
    """Add the options that say where edges come from."""
    return add_options(
        command,
        setting_option(
            "--data",
            setting="data.file",
            type=FILE,
            help="A series or a table: a line of names, then rows; of a series one for each time "
            "step, oldest first. CSV (also .gz), Parquet or Arrow; - is the standard input.",
        ),
        setting_option(
            "--time",
            setting="data.time",
            metavar="COLUMN",
            help="The column that tells the rows' time; found by itself where it is plain.",
        ),
        setting_option(
            "--series/--no-series",
            setting="data.series",
            default=None,
            help="Rows are time steps, oldest first, though no column tells their time.",
        ),
        setting_option(
            "--every",
            setting="data.every",
            metavar="STEP",
            help="How long a step is: 15min, 1h, 1d, 1w, 1mo, 1q, 1y. A longer one is then a gap, "
            "and refused.",
        ),
        setting_option(
            "--fill-gaps",
            setting="data.fill_gaps",
            type=click.Choice(["none"]),
            help="none: steps that the times skip stay empty, and no lag reaches across them.",
        ),
        setting_option(
            "--missing",
            setting="data.missing",
            type=Names(),
            metavar="A,B,...",
            help="What means a missing value, as -999; empty cells, NA, nan, null and - do anyway.",
        ),
        setting_option(
            "--delimiter",
            setting="data.delimiter",
            metavar="CHARACTER",
            help="What separates cells: a character, or tab; recognised where it is plain.",
        ),
        setting_option(
            "--decimal",
            setting="data.decimal",
            type=click.Choice([".", ","]),
            help="The decimal sign; recognised where it is plain.",
        ),
        setting_option(
            "--unit",
            setting="data.unit",
            type=Assignment("output=kEUR"),
            multiple=True,
            metavar="NAME=UNIT",
            help="The unit of a variable in your data; compared with the round's. Repeatable.",
        ),
        setting_option(
            "--convert",
            setting="data.convert",
            type=Assignment("output=1000"),
            multiple=True,
            metavar="NAME=FACTOR",
            help="How many of the round's units are in one of yours. Repeatable.",
        ),
        setting_option(
            "--columns",
            setting="data.columns",
            type=Names(),
            metavar="A,B,...",
            help="The columns to use; by default those that the round's vocabulary names.",
        ),
        setting_option(
            "--lags",
            setting="data.lags",
            type=Lags(),
            metavar="1,2,...",
            help="The lags to look at; the round's plan names them, and others are refused. With "
            "--edges: all lags you looked at, also those without an edge.",
        ),
        setting_option(
            "--bootstraps",
            setting="data.bootstraps",
            type=click.IntRange(min=1),
            show_default="100",
            help="Resamples behind the stability.",
        ),
        setting_option(
            "--seed",
            setting="data.seed",
            type=click.IntRange(min=0),
            show_default="0",
            help="Of the resampling.",
        ),
        setting_option(
            "--engine",
            setting="data.engine",
            metavar="NAME",
            show_default="var",
            help="What discovers: var or varlingam in a series; pc, ges, fci or lingam in a table, "
            "whose rows have no order; auto chooses and says why; or one that a package offers. "
            "MODULE:FACTORY is your own: FACTORY() or, with --data, FACTORY(path) returns an "
            "object with discover(). MODULE may lie here or beside hyperfed.toml.",
        ),
        setting_option(
            "--intervened",
            setting="data.intervened",
            type=Names(),
            metavar="A,B,...",
            help="Variables that an experiment set in these data: edges into them are left out, "
            "and the federation is told.",
        ),
        setting_option(
            "--edges",
            setting="data.edges",
            type=FILE,
            help="Finished edges as CSV: source, target, lag, effect, confidence, stability [, "
            "hits, n, std_error or ci_low, ci_high [, dof]].",
        ),
        setting_option(
            "--measured",
            setting="data.measured",
            type=Names(),
            metavar="A,B,...",
            help="With --edges: all variables you measured, also those without an edge.",
        ),
    )
