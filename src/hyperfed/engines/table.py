"""Run a discovery on a table: rows of any order, such as patients. Every library's engine is one.

1. A row with a missing value is left out, and the result says how many were. Constant columns, and
   columns that follow from others, are refused by name.
2. A fit finds a graph in the standardised rows, and possibly effects. Where it finds none, they are
   least-squares coefficients beside the target's other causes (`effects`); an edge that may run
   either way joins them for its own effect only.
3. Every edge found is at lag 0. Its confidence is 1 - p of the t-test of its effect beside the
   target's other causes. Its stability is the share of resamples (rows drawn with replacement) that
   find it with its sign and in which BIC keeps it, as in the built-in engine. A resample that finds
   it without a direction counts half. An edge that only resamples find is reported too: weak rows
   help the merge.
4. Marks at the ends are kept (`endpoints`), and edges x <-> y as pairs with the share of resamples
   that find them (`bidirected`).
5. Two causes that act together are looked for among those found (`interactions`).
6. What a round's plan knows of the graph goes into the fit, and is held to afterwards: a forbidden
   direction has no vote, a required edge is looked at in any case.

What it does not do: it does not fill in missing values, and does not read files (`readers`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hyperfed.engines.base import Discovery
from hyperfed.engines.columns import check_columns, constant, nearly_alike
from hyperfed.engines.effects import first_dependent, linear_effects, standardised
from hyperfed.engines.interactions import interactions_in
from hyperfed.engines.resampling import Progress, one_thread, resampled, seed_of
from hyperfed.errors import EngineError
from hyperfed.packets.knowledge import Knowledge

__all__ = [
    "TableEngine",
    "TableFit",
    "TableFound",
    "checked_table",
    "known_pairs",
    "signed_votes",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Pairs = tuple[tuple[int, int], ...]

_SHOWN = 0.05  # share of resamples from which an edge is reported that the sample does not have
_FEW_VALUES = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableFound:
    """Holds what a fit finds in one table, as matrices over [source, target]."""

    votes: Floats
    """float64[source, target]: 1 for an edge, 0.5 for one that may run either way, 0 for none."""
    effect: Floats | None = None
    """float64[source, target]: effects in units of the columns fitted; None has them estimated."""
    confounded: Bools | None = None
    """bool[variables, variables], symmetric: the pairs x <-> y; None: the fit knows none."""
    endpoints: Callable[[Sequence[int], Sequence[int]], list[str]] | None = None
    """Returns edges as people write them; None: all are -->."""

    def marks(self, votes: Floats, source: Sequence[int], target: Sequence[int]) -> list[str]:
        """Return the marks of the edges reported; "" of one that only resamples have."""
        texts = ["-->"] * len(source)
        if self.endpoints is not None:
            texts = self.endpoints(source, target)
        return [
            "" if votes[i, j] == 0 else "-->" if votes[i, j] == 1 else text
            for i, j, text in zip(source, target, texts, strict=True)
        ]

    def bidirected(self, resamples: Floats, names: Sequence[str]) -> list[tuple[str, str, float]]:
        """Return the pairs x <-> y, each with the share of resamples that find it.

        `resamples` is float64[resamples, 2, source, target].
        """
        if self.confounded is None:
            return []
        share = resamples[:, 1].mean(axis=0)
        return [
            (names[i], names[j], float(share[i, j]))
            for i, j in zip(*np.nonzero(np.triu(self.confounded, 1)), strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class TableFit(ABC):
    """Describes a discovery in one table, with what is known of the graph by column number."""

    forbidden: Pairs = ()
    """(source, target) of edges that cannot be."""
    required: Pairs = ()
    """(source, target) of edges that must be looked at."""
    earlier: Pairs = ()
    """(source, target) where the source comes later and so cannot cause the target by any path."""

    def prepare(self) -> None:  # noqa: B027 - a fit that needs no library has nothing to import
        """Import the library. Raises ConfigError where it is not installed."""

    @abstractmethod
    def find(self, data: Floats) -> TableFound:
        """Return what is found in standardised rows."""

    def resample(self, data: Floats, rng: np.random.Generator) -> Floats:
        """Return rows drawn with replacement."""
        return np.asarray(data[rng.integers(0, len(data), len(data))])

    def votes(self, data: Floats) -> Floats:
        """Return float64[2, source, target]: signed votes, and 1 where the pair is x <-> y."""
        standard, _ = standardised(data)
        fit_result = self.find(standard)
        votes = self.held_to(fit_result.votes)
        estimated = linear_effects(standard, votes > votes.T, votes > 0)
        effect = _chosen(fit_result.effect, estimated.effect, votes)
        return signed_votes(
            votes, effect, estimated.std_error, fit_result.confounded, rows=len(data)
        )

    def held_to(self, votes: Floats) -> Floats:
        """Return the votes without forbidden directions, and with the required ones whole."""
        held_votes = votes.copy()
        for source, target in self.forbidden:
            # an edge that runs one way or the other, and cannot run this way, runs the other way
            if held_votes[source, target] == 0.5 == held_votes[target, source]:
                held_votes[target, source] = 1.0
            held_votes[source, target] = 0.0
        for source, target in self.required:
            held_votes[source, target], held_votes[target, source] = 1.0, 0.0
        return held_votes


def signed_votes(
    votes: Floats, effect: Floats, std_error: Floats, confounded: Bools | None, *, rows: int
) -> Floats:
    """Return float64[2, source, target]: votes with signs, and 1 where the pair is x <-> y.

    An edge that BIC would not keep, by its t among `rows` rows, has no vote.
    """
    t = np.nan_to_num(effect / std_error)
    significant = t**2 > rows * math.expm1(math.log(rows) / rows)
    sign = np.where(significant, np.sign(np.nan_to_num(effect)), 0.0)
    pairs = np.zeros_like(votes) if confounded is None else confounded
    return np.stack([votes * sign, pairs.astype(np.float64)])


class TableEngine:
    """Finds edges in a table, as an `Engine`.

    Args:
        data: float[rows, variables]; NaN where a value is missing.
        names: One name for each column, unique.
        knowledge: What the round's plan knows of the graph.
        n_bootstrap: The number of resamples for the stability.
        rng: A seed, with which every `discover()` gives the same result.
        processes: The number of processes for the resamples; None chooses (`resampling`).
        progress: The function that is called with how far the resamples are.
        options: Fields of the engine's fit that differ from their defaults.

    Raises EngineError, which names the column, where the data cannot be used.
    """

    reads: ClassVar[str] = "table"
    fit: ClassVar[type[TableFit]]

    def __init__(
        self,
        data: npt.ArrayLike,
        names: Sequence[str],
        *,
        knowledge: Knowledge | None = None,
        n_bootstrap: int = 100,
        rng: int = 0,
        processes: int | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> None:
        self.names, subject = tuple(names), type(self).__name__
        self.data, self._notes = checked_table(data, self.names, subject=subject)
        for name, value, least in (("n_bootstrap", n_bootstrap, 1), ("rng", rng, 0)):
            if not isinstance(value, int) or value < least:
                raise EngineError(
                    f"{name} is {value!r:.40}; a whole number of at least {least} is needed",
                    subject=subject,
                )
        self.n_bootstrap, self.rng, self.processes = n_bootstrap, rng, processes
        self.progress = progress
        try:
            self._fit = self.fit(**known_pairs(knowledge, self.names), **options)
        except TypeError as exc:
            raise EngineError(f"an option is not known: {exc}", subject=subject) from exc

    def discover(self) -> Discovery:
        """Return the edges found, at lag 0, with effects, confidence and stability.

        Raises ConfigError where the library is not installed, EngineError where it fails.
        """
        standard, scale = standardised(self.data)
        self._fit.prepare()
        try:
            with one_thread():
                fit_result = self._fit.find(standard)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as exc:
            raise EngineError(
                f"the library failed: {exc}"[:300],
                subject=type(self).__name__,
                remedy=(
                    "Give more rows, or leave out a column that nearly follows from others. "
                    "Nothing was sent"
                ),
            ) from exc
        votes = self._fit.held_to(fit_result.votes)
        resamples = resampled(
            self._fit,
            standard,
            count=self.n_bootstrap,
            seed=self.rng,
            processes=self.processes,
            progress=self.progress,
        )
        shown_edges = (votes > 0) | (np.abs(resamples[:, 0]).mean(axis=0) >= _SHOWN)
        estimated = linear_effects(standard, votes > votes.T, shown_edges)
        effect = _chosen(fit_result.effect, estimated.effect, votes)
        unit = scale[None, :] / scale[:, None]
        source, target = np.nonzero(shown_edges & np.isfinite(effect) & (effect != 0))
        agreeing = np.maximum(
            resamples[:, 0, source, target] * np.sign(effect)[source, target], 0.0
        )
        variables = np.array(self.names, dtype=np.str_)
        return Discovery(
            variables=self.names,
            lags=(0,),
            source=variables[source],
            target=variables[target],
            lag=np.zeros(len(source), dtype=np.int64),
            effect=(effect * unit)[source, target],
            std_error=(estimated.std_error * unit)[source, target],
            confidence=np.nan_to_num(estimated.confidence)[source, target],
            stability=np.clip(agreeing.mean(axis=0), 0.0, 1.0),
            hits=(agreeing > 0).sum(axis=0),
            n=len(self.data),
            endpoints=fit_result.marks(votes, source.tolist(), target.tolist()),
            bidirected=fit_result.bidirected(resamples, self.names),
            interactions=interactions_in(
                self.data,
                self.names,
                votes > votes.T,
                count=self.n_bootstrap,
                rng=seed_of(self.rng, self.n_bootstrap),
            ),
            notes=self._notes,
        )


def checked_table(
    data: npt.ArrayLike, names: tuple[str, ...], *, subject: str
) -> tuple[Floats, tuple[str, ...]]:
    """Return the rows without a missing value, and what people should know of them.

    Raises EngineError, which names the column.
    """
    try:
        table = np.array(data, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise EngineError(f"the data are not numbers: {exc}", subject=subject) from exc
    check_columns(table, names, subject=subject)
    if table.shape[1] < 2:
        raise EngineError(
            "one column has nothing to act on", subject=subject, remedy="Give at least two columns"
        )
    holes = np.isnan(table)
    whole = table[~holes.any(axis=1)]
    notes = list(nearly_alike(table, names))
    if len(whole) < len(table):
        most = names[int(np.argmax(holes.sum(axis=0)))]
        notes.append(
            f"{len(table) - len(whole)} of {len(table)} rows lack a value and were left out; most "
            f"often it is that of {most!r:.80}"
        )
    if len(whole) < table.shape[1] + 3:
        raise EngineError(
            f"{len(whole)} rows without a missing value of {table.shape[1]} columns are too few",
            subject=subject,
            remedy=f"Give at least {table.shape[1] + 3} rows; leave out columns with many holes",
        )
    flat = constant(whole)
    if flat.any():
        raise EngineError(
            f"column {names[int(np.argmax(flat))]!r:.80} is constant",
            subject=subject,
            remedy="Leave it out: it explains nothing",
        )
    at = first_dependent(standardised(whole)[0])
    if at is not None:
        raise EngineError(
            f"column {names[at]!r:.80} follows from the columns before it",
            subject=subject,
            remedy="Leave one of them out: a sum cannot be distinguished from its parts",
        )
    few = [n for n, c in zip(names, whole.T, strict=True) if len(np.unique(c)) <= _FEW_VALUES]
    if few:
        notes.append(
            f"{', '.join(few[:5])}: at most {_FEW_VALUES} different values, used as plain numbers"
        )
    return whole, tuple(notes)


def known_pairs(knowledge: Knowledge | None, names: tuple[str, ...]) -> dict[str, Pairs]:
    """Return what is known of these columns, as fields of a fit."""
    if knowledge is None:
        return {}
    return {
        "forbidden": _pairs(knowledge.forbids(names)),
        "required": _pairs(knowledge.requires(names)),
        "earlier": _pairs(knowledge.earlier(names)),
    }


def _pairs(matrix: Bools) -> Pairs:
    return tuple((int(i), int(j)) for i, j in zip(*np.nonzero(matrix), strict=True))


def _chosen(own_effects: Floats | None, estimated: Floats, votes: Floats) -> Floats:
    """Return the fit's own effects where it has an edge, and else the estimated ones."""
    return (
        estimated
        if own_effects is None
        else np.where((votes > 0) & (own_effects != 0), own_effects, estimated)
    )
