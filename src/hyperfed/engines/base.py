"""Define what a causal discovery library must offer to take part: one method.

1. An engine is any object with `discover() -> Discovery`. It knows nothing of rounds, clients or
   vocabularies: it names its variables.
2. A `Discovery` holds the edges as columns with names; `to_edges` maps the names to a round's
   vocabulary.
3. Variables that are not in the round's vocabulary are left out, with the edges that touch them; if
   none is left, that is an error.
4. A `Discovery` is checked when it is made, and an error names the edge, so that an engine's
   mistake shows where it was made.
5. The interval that travels is effect +- 1.96 standard errors. An engine with t intervals gives
   their degrees of freedom (`dof`), one with standard errors gives those; both become that
   interval.

Source: DESIGN section 2 (what travels).

What it does not do: it does not decide what is shared. The policy does, applied by the client's
agent.
"""

import os
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from hyperfed.config import MAX_SAMPLES
from hyperfed.engines.conversions import Conversions
from hyperfed.engines.structure import Interaction, check_structure
from hyperfed.errors import BoundsError, EngineError
from hyperfed.kernels.layout import Z95
from hyperfed.merge.student_t import t_quantile
from hyperfed.tables.tables import EdgeTable, pack_keys
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["Discovery", "Engine"]

_LARGEST = {"lag": (1 << 16) - 1, "hits": (1 << 32) - 1, "n": MAX_SAMPLES}

_COLUMNS = (
    *("source", "target", "lag", "effect", "confidence", "stability", "hits", "n"),
    *("ci_low", "ci_high"),
)

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Discovery(Conversions):
    """Holds what an engine found in one client's data.

    Columns may be any sequences of one length; a single value stands for all rows. Raises
    EngineError, which names the edge.
    """

    variables: tuple[str, ...]
    """The names of all variables measured, also of those without an edge.

    No edge between measured variables is evidence against one.
    """
    source: Any
    """str[rows]: the source, a name among `variables`."""
    target: Any
    """str[rows]: the target, a name among `variables`.

    It is the source itself only at lags above 0.
    """
    lag: Any
    """int[rows]: time steps from cause to effect, 0 to 65535; (source, target, lag) occurs once."""
    effect: Any
    """float[rows], finite: the change of the target for each unit of the source."""
    confidence: Any
    """float[rows] in [0, 1]: how sure the sign is.

    By convention it is 1 - p of a two-sided test, as in the built-in engine: on pure noise that is
    0.50 on average, not 0. It is no probability that the edge exists.
    """
    stability: Any
    """float[rows] in [0, 1]: the share of resamples that find the edge again, with its sign."""
    hits: Any = 1
    """int[rows]: how often the edge was found."""
    n: Any = 0
    """int[rows]: the number of rows of data behind the edge."""
    ci_low: Any = None
    """float[rows] or None: the lower end of the interval, given with `ci_high` or not at all.

    The interval is effect +- 1.96 standard errors or, with `dof`, the 95 % t interval, which is
    converted to the former. NaN or None in both ends, or no width, means that the interval of this
    edge is not known.
    """
    ci_high: Any = None
    """float[rows] or None: the upper end of the interval, see `ci_low`."""
    notes: tuple[str, ...] = ()
    """What people should know of the run, as sentences: what was chosen, what was not used."""
    endpoints: Any = None
    """str[rows] or None: the marks at the ends of each edge, as "-->", "o->", "---" or "o-o".

    They come from engines that tell them; "" is the mark of an edge that only resamples have.
    """
    bidirected: Sequence[tuple[str, str, float]] = ()
    """Pairs that share a cause which nobody measured, x <-> y: (x, y, share of resamples)."""
    interactions: Sequence[Interaction] = ()
    """Effects that need several causes at once; they become hyperedges."""
    intervened: Sequence[str] = ()
    """The variables that were set by an experiment in these data.

    What acts on them was cut, so that edges into them are no evidence, and edges out of them are
    better evidence than what was only watched.
    """
    std_error: InitVar[Any] = None
    """float[rows] >= 0, in place of an interval: the standard error of the effect.

    NaN, None or 0 means that it is not known of this edge.
    """
    dof: InitVar[Any] = None
    """int[rows] >= 1: the degrees of freedom of the t distribution behind ci_low and ci_high."""
    lags: Any = None
    """The lags that were looked at, as whole numbers, also those without an edge; None means those
    of the edges.

    No edge at a lag that was looked at is evidence against one. At another lag it says nothing.
    """

    def __post_init__(self, std_error: Any, dof: Any) -> None:
        self._check_names()
        object.__setattr__(self, "notes", tuple(self.notes))
        rows = len(self.source)
        for name in ("lag", "hits", "n"):
            value = getattr(self, name)
            whole = self._whole(name, value)
            # A single count for all rows stays a single value.
            object.__setattr__(
                self, name, value if name != "lag" and np.ndim(value) == 0 else whole
            )
        effect = self._numbers("effect", self.effect)
        self._refuse(~np.isfinite(effect), effect, "effect", "not a finite number")
        for name in ("confidence", "stability"):
            share = self._numbers(name, getattr(self, name))
            self._refuse(~((share >= 0) & (share <= 1)), share, name, "outside [0, 1]")
            object.__setattr__(self, name, share)
        object.__setattr__(self, "effect", effect)
        self._check_keys()
        self._check_lags()
        check_structure(self)
        for name, end in zip(("ci_low", "ci_high"), self._interval(std_error, dof), strict=True):
            object.__setattr__(self, name, end)
        if rows == 0:
            return
        for name in (
            "source",
            "target",
            "lag",
            "effect",
            "confidence",
            "stability",
            "ci_low",
            "ci_high",
        ):
            if getattr(self, name) is not None:
                getattr(self, name).flags.writeable = False

    def __len__(self) -> int:
        return len(self.source)

    # -- what is checked ---------------------------------------------------------------------------

    def _check_names(self) -> None:
        """Raise EngineError where a name is empty, occurs twice or is unknown."""
        variables = tuple(self.variables)
        if not all(isinstance(name, str) and name for name in variables):
            raise EngineError("variable names are non-empty texts", subject="discovery")
        if len(set(variables)) != len(variables):
            twice = sorted({name for name in variables if variables.count(name) > 1})
            raise EngineError(
                f"variables must be named once; twice: {', '.join(twice[:5])}", subject="discovery"
            )
        object.__setattr__(self, "variables", variables)
        sorted_names = np.sort(np.array(variables, dtype=np.str_))
        for name in ("source", "target"):
            names = np.array(list(getattr(self, name)), dtype=np.str_)
            unknown = (
                sorted_names[
                    np.minimum(np.searchsorted(sorted_names, names), len(sorted_names) - 1)
                ]
                != names
                if len(sorted_names)
                else np.ones(len(names), dtype=bool)
            )
            if unknown.any():
                raise EngineError(
                    f"{name} names {str(names[np.argmax(unknown)])!r}, which is not among its "
                    "variables",
                    subject="discovery",
                    remedy="Name in `variables` all that was measured",
                )
            object.__setattr__(self, name, names)
        if len(self.source) != len(self.target):
            raise EngineError(
                f"{len(self.source)} sources and {len(self.target)} targets", subject="discovery"
            )

    def _check_keys(self) -> None:
        """Raise EngineError where an edge occurs twice, or joins a variable to itself at lag 0."""
        self_edges = (self.lag == 0) & (self.source == self.target)
        self._refuse(
            self_edges,
            self.lag,
            "lag",
            "the lag of a variable's edge to itself, which takes at least 1",
        )
        sorted_names = np.sort(np.array(self.variables, dtype=np.str_))
        keys = pack_keys(
            np.searchsorted(sorted_names, self.source),
            np.searchsorted(sorted_names, self.target),
            self.lag,
        )
        order = np.argsort(keys, kind="stable")
        twice = keys[order[1:]] == keys[order[:-1]]
        if twice.any():
            raise EngineError(
                "is there twice",
                subject=self._edge(int(order[1:][twice].min())),
                remedy="Give each edge in one row by (source, target, lag)",
            )

    def _check_lags(self) -> None:
        """Keep the lags looked at, ascending. Raises EngineError where an edge has another lag."""
        used = {int(lag) for lag in self.lag}
        stated_lags = sorted(used) if self.lags is None else list(self.lags)
        for lag in stated_lags:
            if (
                isinstance(lag, bool)
                or not isinstance(lag, int | np.integer)
                or not 0 <= lag < 1 << 16
            ):
                raise EngineError(
                    f"lags names {lag!r:.40}; whole numbers from 0 to 65535 are needed",
                    subject="discovery",
                )
        lags = tuple(sorted({int(lag) for lag in stated_lags}))
        if stray := sorted(used - set(lags)):
            raise EngineError(
                f"has an edge at lag {stray[0]}, which is not among the lags looked at",
                subject="discovery",
                remedy="Name in `lags` all lags that were looked at",
            )
        object.__setattr__(self, "lags", lags)

    def _interval(self, std_error: Any, dof: Any) -> tuple[Floats, Floats] | tuple[None, None]:
        """Return ci_low and ci_high: effect +- 1.96 standard errors, or (None, None).

        Both are None where no edge has an interval. Otherwise an edge whose interval is not known
        gets one without width. Raises EngineError.
        """
        if (self.ci_low is None) != (self.ci_high is None):
            raise EngineError("ci_low and ci_high come together or not at all", subject="discovery")
        if std_error is not None and self.ci_low is not None:
            raise EngineError(
                "std_error takes the place of ci_low and ci_high",
                subject="discovery",
                remedy="Give one of them",
            )
        if dof is not None and self.ci_low is None:
            raise EngineError(
                "dof says what ci_low and ci_high were taken from, and there are none",
                subject="discovery",
                remedy="Give both, or std_error alone",
            )
        if std_error is not None:
            error = self._numbers("std_error", std_error)
            self._refuse((error < 0) | np.isinf(error), error, "std_error", "no standard error")
            low, high = self.effect - Z95 * error, self.effect + Z95 * error
        elif self.ci_low is not None:
            low, high = self._numbers("ci_low", self.ci_low), self._numbers("ci_high", self.ci_high)
            self._refuse(
                np.isnan(low) != np.isnan(high),
                self.effect,
                "effect",
                "an effect of whose interval one end is missing",
            )
            self._refuse(
                np.isinf(low) | np.isinf(high),
                self.effect,
                "effect",
                "an effect with an endless interval",
            )
            self._refuse(low > self.effect, low, "ci_low", "above the effect")
            self._refuse(high < self.effect, high, "ci_high", "below the effect")
            if dof is not None:
                half = (high - low) / 2 * (Z95 / self._quantiles(dof))
                low, high = self.effect - half, self.effect + half
        else:
            return None, None
        unknown = np.isnan(low)
        low, high = np.where(unknown, self.effect, low), np.where(unknown, self.effect, high)
        self._refuse(
            np.isinf(low) | np.isinf(high),
            self.effect,
            "effect",
            "an effect with an interval beyond the largest number",
        )
        return low, high

    def _quantiles(self, dof: Any) -> Floats:
        """Return the 97.5 % quantiles of the t distributions, float64[rows]."""
        degrees = self._whole("dof", dof)
        self._refuse(degrees < 1, degrees, "dof", "below 1")
        of = {df: t_quantile(0.95, df) for df in np.unique(degrees).tolist()}
        return np.array([of[df] for df in degrees.tolist()], dtype=np.float64)

    def _numbers(self, name: str, value: Any) -> Floats:
        """Return a column, or a single value, as float64[rows]. Raises EngineError."""
        try:
            column = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as exc:
            raise EngineError(
                f"{name} is no column of numbers: {exc}"[:200], subject="discovery"
            ) from exc
        if column.ndim > 1 or (column.ndim == 1 and len(column) != len(self.source)):
            shape = f"{len(column)} rows" if column.ndim == 1 else f"the shape {column.shape}"
            raise EngineError(
                f"{name} has {shape} where source has {len(self.source)} rows", subject="discovery"
            )
        return np.array(np.broadcast_to(column, (len(self.source),))) + 0.0

    def _whole(self, name: str, value: Any) -> npt.NDArray[Any]:
        """Return whole numbers >= 0 as int[rows], from a column or a single value.

        Floats that are whole are accepted. Raises EngineError.
        """
        column, largest = self._numbers(name, value), _LARGEST.get(name, 1 << 53)
        self._refuse(
            ~((column == np.floor(column)) & (column >= 0) & (column <= largest)),
            column,
            name,
            f"no whole number from 0 to {largest}",
        )
        whole = np.asarray(value)
        return (
            np.array(np.broadcast_to(whole, column.shape))
            if whole.dtype.kind in "iu"
            else column.astype(np.int64)
        )

    def _refuse(self, wrong: Bools, column: Any, name: str, what: str) -> None:
        """Raise EngineError for the first row where `wrong` is true."""
        if wrong.any():
            row = int(np.argmax(wrong))
            raise EngineError(
                f"{name} is {column[row]:g}, {what}",
                subject=self._edge(row),
                remedy="Correct the engine; nothing was sent",
            )

    def _edge(self, row: int) -> str:
        """Return how an error names the edge in a row."""
        lag = (
            np.broadcast_to(np.asarray(self.lag), (len(self.source),))[row]
            if np.ndim(self.lag) < 2
            else "?"
        )
        return (
            f"discovery, edge {str(self.source[row])!r:.80} -> "
            f"{str(self.target[row])!r:.80}, lag {lag}"
        )

    # -- what becomes of it ------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """Return one dict for each edge, for display and export only.

        The ends ci_low and ci_high are None where the interval is not known. There are endpoints
        where the engine tells them.
        """
        names = ("source", "target", "lag", "effect", "confidence", "stability", "hits", "n")
        columns = {
            name: np.broadcast_to(np.asarray(getattr(self, name)), (len(self),)).tolist()
            for name in names
        }
        ends: list[list[float | None]] = [[None] * len(self), [None] * len(self)]
        if self.ci_low is not None:
            has_interval = self.ci_low < self.ci_high
            for end, column in zip(ends, (self.ci_low, self.ci_high), strict=True):
                end[:] = [
                    v if k else None for v, k in zip(column.tolist(), has_interval, strict=True)
                ]
        columns |= {"ci_low": ends[0], "ci_high": ends[1]}
        if self.endpoints is not None:
            columns["endpoints"] = list(self.endpoints)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file that `hyperfed submit --edges` takes: edges, and all that is beside them.

        A file that is there is replaced. Raises OSError where it cannot be written.
        """
        from hyperfed.engines.readers.remarks import edges_text  # it reads discoveries, too

        Path(path).write_text(edges_text(self, units={}), encoding="utf-8")

    def without_edges_into_intervened(self) -> "Discovery":
        """Return the discovery without edges and interactions into variables that were set.

        An experiment cut what acts on them at that moment, so these edges are no evidence. The
        discovery itself is returned where nothing was set.
        """
        if not self.intervened:
            return self
        keep = ~np.isin(self.target, np.array(self.intervened, dtype=np.str_))
        columns: dict[str, Any] = {}
        for name in _COLUMNS:
            value = getattr(self, name)
            columns[name] = value if value is None or np.ndim(value) == 0 else value[keep]
        return replace(
            self,
            **columns,
            endpoints=None
            if self.endpoints is None
            else [
                one for one, is_kept in zip(self.endpoints, keep.tolist(), strict=True) if is_kept
            ],
            interactions=[one for one in self.interactions if one.target not in self.intervened],
            bidirected=[pair for pair in self.bidirected if not {*pair[:2]} & set(self.intervened)],
        )

    def to_edges(self, vocabulary: Vocabulary) -> tuple[npt.NDArray[np.uint32], EdgeTable]:
        """Return the measured variables and the edge table, in the indices of `vocabulary`.

        The measured variables are uint32[variables], ascending. Raises EngineError where no
        variable is in the vocabulary, or where a column breaks a bound of `EdgeTable`.
        """
        index = {name: i for i, name in enumerate(vocabulary.names)}
        order = np.array(sorted(self.variables), dtype=np.str_)
        position = np.array([index.get(str(name), -1) for name in order], dtype=np.int64)
        measured = np.sort(position[position >= 0]).astype(np.uint32)
        if not len(measured):
            first_names = ", ".join(vocabulary.names[:8])
            raise EngineError(
                "none of the data's variables is in the round's vocabulary",
                subject=", ".join(self.variables[:8]),
                remedy=f"Name variables of it: {first_names}",
            )
        source, target = (
            position[np.searchsorted(order, names)] if len(names) else np.zeros(0, np.int64)
            for names in (self.source, self.target)
        )
        keep = (source >= 0) & (target >= 0)
        columns: dict[str, Any] = {}
        for name in ("lag", "effect", "confidence", "stability", "hits", "n", "ci_low", "ci_high"):
            value = getattr(self, name)
            if value is None:
                continue
            column = np.asarray(value)
            columns[name] = column[keep] if column.ndim else column
        try:
            return measured, EdgeTable.build(source=source[keep], target=target[keep], **columns)
        except BoundsError as exc:
            raise EngineError(
                f"the engine's result breaks a bound: {exc}", subject="discovery"
            ) from exc


@runtime_checkable
class Engine(Protocol):
    """Defines a discovery engine bound to its data.

    Any object with this method will do.
    """

    def discover(self) -> Discovery:
        """Run on the data and return what was found.

        Raises EngineError where the data cannot be used.
        """
        ...  # pragma: no cover
