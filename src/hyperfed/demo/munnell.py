"""Provide Munnell's panel of 48 US states, 1970-86, as the data of 48 clients.

The panel asks: does public capital make private output grow?

1. `series` gives one state's yearly log-differences of public capital, private capital, output and
   employment, and the difference of the unemployment rate (percentage points): 16 rows for 1971-86.
   `series_csv` gives the same as a file, with its years.
2. State names are client ids: full, lower case, with hyphens.
3. `flip_signs` is the attack of the demonstration: a client negates every effect that it found, and
   signs that.

Source: Munnell 1990; Baltagi & Pinnoi 1995. data/README.md beside the file has origin and licence.
"""

from dataclasses import replace
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from hyperfed.errors import ConfigError
from hyperfed.tables.tables import EdgeTable

__all__ = ["FIRST_YEAR", "LAST_YEAR", "VARIABLES", "flip_signs", "series", "series_csv", "states"]

VARIABLES = ("public_capital", "private_capital", "output", "employment", "unemployment")
FIRST_YEAR, LAST_YEAR = 1970, 1986


@cache
def _levels() -> dict[str, npt.NDArray[np.float64]]:
    """Return each state's levels, float64[17 years, 5 variables]; the first four are logarithms.

    Raises ConfigError where the file is damaged.
    """
    text = resources.files("hyperfed.demo").joinpath("data/munnell.csv").read_text(encoding="utf-8")
    header, *lines = text.splitlines()
    if tuple(header.split(",")) != ("state", "year", *VARIABLES):
        raise ConfigError(
            "the demonstration's data are damaged",
            subject="munnell.csv",
            remedy="Install Hyperfed again",
        )
    cells = np.array([line.split(",") for line in lines], dtype=np.str_)
    values = cells[:, 2:].astype(np.float64).reshape(-1, LAST_YEAR - FIRST_YEAR + 1, len(VARIABLES))
    values[:, :, :4] = np.log(values[:, :, :4])
    values.flags.writeable = False
    names = cells[:: LAST_YEAR - FIRST_YEAR + 1, 0]
    return {str(name): values[i] for i, name in enumerate(names)}


def states() -> tuple[str, ...]:
    """Return the 48 client ids, sorted: "alabama" ... "wyoming"."""
    return tuple(_levels())


def series(state: str, until: int = LAST_YEAR) -> npt.NDArray[np.float64]:
    """Return the yearly changes of `state` from 1971 to `until`, as float64[years, 5].

    The columns are as in `VARIABLES`. Raises ConfigError for an unknown state or year.
    """
    if state not in _levels():
        raise ConfigError(
            "no such state in the demonstration's data",
            subject=repr(state)[:60],
            remedy="See hyperfed.demo.munnell.states()",
        )
    if not FIRST_YEAR < until <= LAST_YEAR:
        raise ConfigError(
            f"until is {until}; a year in [{FIRST_YEAR + 1}, {LAST_YEAR}] is needed", subject=state
        )
    return np.diff(_levels()[state][: until - FIRST_YEAR + 1], axis=0)


def series_csv(state: str) -> str:
    """Return `series` as a client's file: a column of years, and one for each of `VARIABLES`.

    Raises ConfigError.
    """
    years = enumerate(series(state), FIRST_YEAR + 1)
    rows = [
        ("year", *VARIABLES),
        *((str(year), *(repr(value) for value in row.tolist())) for year, row in years),
    ]
    return "\n".join(",".join(row) for row in rows) + "\n"


def flip_signs(edges: EdgeTable) -> EdgeTable:
    """Return `edges` with every effect negated and its interval mirrored."""
    low, high = (
        (None, None)
        if edges.ci_low is None or edges.ci_high is None
        else (0.0 - edges.ci_high, 0.0 - edges.ci_low)
    )
    return replace(edges, effect=0.0 - edges.effect, ci_low=low, ci_high=high)
