"""Hold a client's own rules on what may leave its house, whatever a round's plan asks for.

1. The rules stand in section [sharing] of the client's hyperfed.toml, and are the client's alone:
   no plan, policy or operator changes them. `ClientSession` applies them last, so that nothing is
   sent past them, by whichever way an update was made.
2. A variable that is never shared is not measured, as far as the federation knows: no edge, vote,
   hyperedge, confounder or intervention names it.
3. An edge of fewer samples than `smallest_n`, or of an unknown number, is held back, and so are the
   weakest edges beyond `most_edges`. Such an edge counts as a vote of 0, like one that the policy
   holds back.
4. Statistics lose the rows and columns of a variable that is never shared. Statistics of fewer rows
   than `smallest_n` are not sent, and `digits` cannot round them: no rows have rounded moments.
5. `digits` rounds what leaves to so many significant digits: intervals outwards, numbers of samples
   down. Whatever falls below the policy's bounds by rounding is held back.

What it does not do: it does not add noise, and rounding is no differential privacy.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hyperfed.client_agent import shareable
from hyperfed.engines.readers.names import folded
from hyperfed.engines.readers.sheet import clean_name
from hyperfed.errors import ConfigError
from hyperfed.packets import CausalSemanticPack, PolicyPack, Update
from hyperfed.statistics import Statistics
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

__all__ = ["Sharing"]

_SUBJECT = "[sharing]"
_MOST_DIGITS = 17

Floats = npt.NDArray[np.float64]
Table = TypeVar("Table", EdgeTable, HyperedgeTable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Holds the client's rules; the defaults hold nothing back.

    Raises ConfigError for a wrong one.
    """

    never: tuple[str, ...] = ()
    """The variables that are never shared, by name."""
    smallest_n: int = 0
    """The smallest number of samples behind an edge that leaves."""
    most_edges: int | None = None
    """The largest number of edges that leave in one update, the strongest; None sets none."""
    digits: int | None = None
    """The significant digits of the numbers that leave; None leaves them as they are."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "never", tuple(self.never))
        for name, least, most in (
            ("smallest_n", 0, None),
            ("most_edges", 1, None),
            ("digits", 1, _MOST_DIGITS),
        ):
            value = getattr(self, name)
            if value is None and name != "smallest_n":
                continue
            if type(value) is not int or value < least or (most is not None and value > most):
                raise ConfigError(
                    f"{name} is {value!r:.40}; a whole number of at least {least} is needed",
                    subject=_SUBJECT,
                )

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> "Sharing":
        """Return the rules that section [sharing] of a hyperfed.toml says. Raises ConfigError."""
        return cls(**section)

    @property
    def says(self) -> tuple[str, ...]:
        """What the rules say, as sentences; empty where they hold nothing back."""
        rules = []
        if self.never:
            rules.append(f"never shared: {', '.join(self.never)}")
        if self.smallest_n:
            rules.append(f"no edge of fewer than {self.smallest_n} samples")
        if self.most_edges is not None:
            rules.append(f"at most {self.most_edges} edge{'s' * (self.most_edges != 1)}")
        if self.digits is not None:
            rules.append(f"{self.digits} significant digit{'s' * (self.digits != 1)}")
        return tuple(rules)

    def unknown(self, vocabulary: Vocabulary) -> tuple[str, ...]:
        """Return the names that are never shared and are no variable of the round.

        They hold nothing back there, be it because they are misspelt or of another round.
        """
        there = set(map(clean_name, vocabulary.names))
        return tuple(name for name in self.never if clean_name(name) not in there)

    def allowed(self, update: Update, policy: PolicyPack, vocabulary: Vocabulary) -> Update:
        """Return the update without what the rules hold back.

        Raises ConfigError where nothing is left to say, where a name is nearly a variable of the
        round, or where the rules cannot judge the update.
        """
        if not self.says:
            return update
        hidden = self._hidden(vocabulary)
        measured = update.measured[~np.isin(update.measured, hidden)]
        if len(update.measured) and not len(measured):
            raise ConfigError(
                "holds back every variable that was measured",
                subject=_SUBJECT,
                remedy="Nothing was sent. Share a variable, or do not submit",
            )
        edges, hyperedges = update.edges, update.hyperedges
        if edges is None:
            raise ConfigError(
                "cannot judge changes against an earlier update, which do not say their samples",
                subject=_SUBJECT,
                remedy="Nothing was sent. Send the whole table of edges",
            )
        may_leave = ~(np.isin(edges.source, hidden) | np.isin(edges.target, hidden))
        edges = self._rounded(edges.take(may_leave & (edges.n >= self.smallest_n)))
        most = policy.n_proposals if self.most_edges is None else self.most_edges
        edges = shareable(edges, replace(policy, n_proposals=min(most, policy.n_proposals)))
        if hyperedges is not None:
            may_leave = ~np.isin(hyperedges.target, hidden) & (hyperedges.n >= self.smallest_n)
            may_leave &= ~_any_source(hyperedges, hidden)
            hyperedges = self._rounded(hyperedges.take(may_leave))
            hyperedges = hyperedges.take(np.arange(len(hyperedges)) < self._room(edges))
        semantic = _without(update.semantic, set(hidden.tolist()), self.never)
        if semantic is not None:
            semantic = self._told_of(semantic, edges)
        return replace(
            update,
            measured=measured,
            edges=edges,
            hyperedges=hyperedges,
            semantic=semantic,
            statistics=self._allowed_statistics(update.statistics, hidden),
        )

    def _allowed_statistics(
        self, statistics: Statistics | None, hidden: npt.NDArray[np.int64]
    ) -> Statistics | None:
        """Return statistics without the variables that are never shared.

        Raises ConfigError where they are of too few rows, or the rules ask for rounding.
        """
        if statistics is None:
            return None
        if statistics.n < self.smallest_n:
            raise ConfigError(
                f"smallest_n is {self.smallest_n}, and the statistics are of {statistics.n} rows",
                subject=_SUBJECT,
                remedy="Nothing was sent. Wait for more rows, or do not submit",
            )
        if self.digits is not None:
            raise ConfigError(
                f"digits is {self.digits}, and rounded moments are those of no rows",
                subject=_SUBJECT,
                remedy="Nothing was sent. Leave digits out in a round of statistics",
            )
        return statistics.without(hidden.tolist())

    def _told_of(self, pack: CausalSemanticPack, edges: EdgeTable) -> CausalSemanticPack:
        """Return a semantic pack, rounded, that speaks of the edges that leave and of no others.

        Where none leaves for too few samples, nor does what was found beside them.
        """
        pairs = set(zip(edges.source.tolist(), edges.target.tolist(), strict=True))
        dag = [edge for edge in pack.dag_edges if edge[:2] in pairs]
        if self.digits is not None and dag:
            weights = _to_digits(np.array([weight for *_, weight in dag]), self.digits).tolist()
            dag = [(*edge[:2], weight) for edge, weight in zip(dag, weights, strict=True)]
        confounders = pack.confounders if pairs or not self.smallest_n else []
        return replace(pack, dag_edges=dag, confounders=confounders)

    def _hidden(self, vocabulary: Vocabulary) -> npt.NDArray[np.int64]:
        """Return the indices of the variables that are never shared.

        Raises ConfigError where a name is a variable's but for its spelling: what protects must not
        miss.
        """
        index = {clean_name(name): at for at, name in enumerate(vocabulary.names)}
        spelt = {folded(name): name for name in vocabulary.names}
        never = tuple(map(clean_name, self.never))
        for name in never:
            meant = spelt.get(folded(name))
            if name not in index and meant is not None:
                raise ConfigError(
                    f"never names {name!r:.80}, which is no variable of the round; did you mean "
                    f"{meant!r:.80}?",
                    subject=_SUBJECT,
                    remedy="Nothing was sent. Write it as the round does",
                )
        return np.array([index[name] for name in never if name in index], dtype=np.int64)

    def _room(self, edges: EdgeTable) -> int:
        """Return how many hyperedges may leave beside the edges."""
        if self.most_edges is None:
            return 1 << 62
        return max(0, self.most_edges - len(edges))

    def _rounded(self, table: Table) -> Table:
        """Return a table with rounded numbers."""
        if self.digits is None or not len(table):
            return table
        kind, digits = table.effect.dtype, self.digits
        effect = _to_digits(table.effect, digits)
        columns: dict[str, Any] = {"effect": effect.astype(kind)}
        for name in ("confidence", "stability"):
            columns[name] = np.clip(_to_digits(getattr(table, name), digits), 0, 1).astype(kind)
        if table.ci_low is not None and table.ci_high is not None:
            has_interval = table.ci_low < table.ci_high
            low = np.minimum(_to_digits(table.ci_low, digits, np.floor), effect)
            high = np.maximum(_to_digits(table.ci_high, digits, np.ceil), effect)
            columns["ci_low"] = np.where(has_interval, low, effect).astype(kind)
            columns["ci_high"] = np.where(has_interval, high, effect).astype(kind)
        for name in ("n", "hits"):
            column = getattr(table, name)
            columns[name] = _to_digits(column, digits, np.floor).astype(column.dtype)
        return replace(table, **columns)


def _to_digits(column: npt.NDArray[Any], digits: int, way: Any = np.rint) -> Floats:
    """Return a column rounded to significant digits, to the nearest or in the way given."""
    values = np.asarray(column, dtype=np.float64)
    size = np.abs(np.where(values == 0, 1.0, values))
    # Numbers so small or so large that their digits have no power of ten stay as they are.
    power = np.clip(digits - 1 - np.floor(np.log10(size)), -300, 300)
    with np.errstate(over="ignore"):
        rounded = np.where(
            power >= 0,
            way(values * 10.0 ** np.maximum(power, 0)) / 10.0 ** np.maximum(power, 0),
            way(values / 10.0 ** np.maximum(-power, 0)) * 10.0 ** np.maximum(-power, 0),
        )
    return np.where(np.isfinite(rounded), rounded, values)


def _any_source(table: HyperedgeTable, hidden: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which hyperedges have a hidden source."""
    ends = table.offsets.astype(np.int64)
    before = np.concatenate([[0], np.cumsum(np.isin(table.sources, hidden))])
    return np.asarray(before[ends[1:]] > before[ends[:-1]])


def _without(
    pack: CausalSemanticPack | None, hidden: set[int], names: Sequence[str]
) -> CausalSemanticPack | None:
    """Return a semantic pack without what names a hidden variable, be it within a text."""
    if pack is None:
        return None
    words = "|".join(re.escape(clean_name(name)) for name in names)
    named = re.compile(rf"(?<!\w)(?:{words})(?!\w)") if words else None

    def tells(entry: Mapping[str, Any]) -> bool:
        texts = [clean_name(str(part)) for part in (*entry, *entry.values())]
        return (named is not None and any(map(named.search, texts))) or bool(
            hidden & {value for value in entry.values() if type(value) is int}
        )

    return CausalSemanticPack(
        dag_edges=[edge for edge in pack.dag_edges if not hidden & {edge[0], edge[1]}],
        confounders=[one for one in pack.confounders if one not in hidden],
        interventions=[one for one in pack.interventions if not tells(one)],
    )
