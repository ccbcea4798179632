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
            help="A series or a table: a line of names, then rows. A series has one row for each "
            "time step, oldest first. CSV (also .gz), Parquet or Arrow; - is standard input.",
        ),
        setting_option(
            "--time",
            setting="data.time",
            metavar="COLUMN",
            help="The column with the rows' time. By default it is recognised.",
        ),
        setting_option(
            "--series/--no-series",
            setting="data.series",
            default=None,
            help="Rows are time steps, oldest first, although no column holds their time.",
        ),
        setting_option(
            "--every",
            setting="data.every",
            metavar="STEP",
            help="The length of a step: 15min, 1h, 1d, 1w, 1mo, 1q, 1y. A longer step is a gap, "
            "and refused.",
        ),
        setting_option(
            "--fill-gaps",
            setting="data.fill_gaps",
            type=click.Choice(["none"]),
            help="none: missing steps stay empty, and no lag reaches across them.",
        ),
        setting_option(
            "--missing",
            setting="data.missing",
            type=Names(),
            metavar="A,B,...",
            help="More codes for a missing value, such as -999. Empty cells, NA, nan, null and - "
            "always count.",
        ),
        setting_option(
            "--delimiter",
            setting="data.delimiter",
            metavar="CHARACTER",
            help="The character between cells, or tab. By default it is recognised.",
        ),
        setting_option(
            "--decimal",
            setting="data.decimal",
            type=click.Choice([".", ","]),
            help="The decimal sign. By default it is recognised.",
        ),
        setting_option(
            "--unit",
            setting="data.unit",
            type=Assignment("output=kEUR"),
            multiple=True,
            metavar="NAME=UNIT",
            help="The unit of a variable in your data, to compare with the round's. Repeatable.",
        ),
        setting_option(
            "--convert",
            setting="data.convert",
            type=Assignment("output=1000"),
            multiple=True,
            metavar="NAME=FACTOR",
            help="How many of the round's units make one of yours. Repeatable.",
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
            help="The lags to look at. The round's plan names them, and others are refused. With "
            "--edges: all lags that you looked at, including those without an edge.",
        ),
        setting_option(
            "--bootstraps",
            setting="data.bootstraps",
            type=click.IntRange(min=1),
            show_default="100",
            help="How many resamples the stability is counted over.",
        ),
        setting_option(
            "--seed",
            setting="data.seed",
            type=click.IntRange(min=0),
            show_default="0",
            help="The seed of the resampling.",
        ),
        setting_option(
            "--engine",
            setting="data.engine",
            metavar="NAME",
            show_default="var",
            help="The discovery engine: var or varlingam for a series; pc, ges, fci or lingam for "
            "a table with rows in any order; auto chooses and says why; or an engine from another "
            "package. MODULE:FACTORY is your own: FACTORY() or, with --data, FACTORY(path) returns "
            "an object with discover(). MODULE may lie here or beside hyperfed.toml.",
        ),
        setting_option(
            "--intervened",
            setting="data.intervened",
            type=Names(),
            metavar="A,B,...",
            help="Variables that an experiment set in these data. Edges into them are left out, "
            "and the update says so.",
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
            help="With --edges: all variables that you measured, including those without an edge.",
        ),
    )
