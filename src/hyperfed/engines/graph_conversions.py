"""Turn a graph that another library found into a `Discovery`, with effects from the data.

1. Effects and confidence are those of least squares in the rows that the graph was found in
   (`effects`). A graph alone says nothing of them, not even their signs.
2. A result that nobody tried again is half as good as one that was found each time: its stability
   is `UNTRIED` unless the caller states it, and a note says so.
3. An edge without direction is half a vote each way: its stability is halved. x o-> y is half a
   vote for that direction. x <-> y becomes a pair of `bidirected`.

Nothing of these libraries is imported here: only what they return is read.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hyperfed.engines.effects import linear_effects
from hyperfed.engines.marks import MarkedGraph
from hyperfed.errors import EngineError
from hyperfed.kernels.layout import Z95

__all__ = ["UNTRIED", "UNTRIED_NOTE", "GraphConversions", "no_result", "rows_of"]

UNTRIED = 0.5
"""The stability of an edge that was found once, and never looked for in resamples."""

UNTRIED_NOTE = (
    f"no resamples stand behind these edges: their stability is {UNTRIED:g}; give `stability` or a "
    "bootstrap where you have one"
)

_HALF = {"---": "---", "o->": "o->", "<-o": "o->"}

Floats = npt.NDArray[np.float64]


class GraphConversions:
    """Makes a `Discovery` of a graph and the data that it was found in."""

    __slots__ = ()

    @classmethod
    def from_causallearn(
        cls,
        graph: Any,
        data: npt.ArrayLike | None = None,
        *,
        names: Sequence[str] | None = None,
        stability: float | None = None,
    ) -> Self:
        """Return the edges of a graph of causal-learn: what `pc`, `ges` or `fci` returned.

        `data` are the rows it was found in; PC's result has its own. `names` are the columns'
        names, by default those of the graph's nodes.

        Raises EngineError where there are no data, or they have another width.
        """
        if isinstance(graph, Mapping) and "G" in graph:  # GES
            graph = graph["G"]
        if isinstance(graph, tuple) and graph:  # FCI
            graph = graph[0]
        if data is None:
            data = getattr(getattr(graph, "test", None), "data", None)
        inner = getattr(graph, "G", graph)
        if not hasattr(inner, "graph") or not hasattr(inner, "nodes"):
            raise no_result(graph, "causal-learn returned, from pc, ges or fci")
        marked = MarkedGraph.of_causal_learn(inner.graph)
        nodes = inner.nodes() if callable(inner.nodes) else inner.nodes
        titles = [node.get_name() for node in nodes] if names is None else list(names)
        return cls._of_votes(
            marked.votes,
            titles,
            data=data,
            stability=stability,
            marked=marked,
            what="graph of causal-learn",
        )

    @classmethod
    def from_pgmpy(
        cls,
        model: Any,
        data: npt.ArrayLike | None = None,
        *,
        names: Sequence[str] | None = None,
        stability: float | None = None,
    ) -> Self:
        """Return the edges of a graph of pgmpy: a DAG, a PDAG, or a network.

        `data` are the rows it was found in: a frame with its variables as columns, or an array
        whose columns are `names`, by default the order of the graph's nodes.

        Raises EngineError where there are no data, or they have another width.
        """
        if not hasattr(model, "nodes") or not hasattr(model, "edges"):
            raise no_result(model, "pgmpy returned")
        titles = [str(node) for node in (model.nodes() if names is None else names)]
        if data is not None and hasattr(data, "columns"):
            at = {str(column): i for i, column in enumerate(data.columns)}
            missing = [title for title in titles if title not in at]
            if missing:
                raise EngineError(
                    f"have no column {missing[0]!r:.80}", subject="data of the graph of pgmpy"
                )
            data = np.asarray(data, dtype=np.float64)[:, [at[title] for title in titles]]
        index = {title: i for i, title in enumerate(titles)}
        votes = np.zeros((len(titles), len(titles)))
        undirected = {frozenset(map(str, e)) for e in getattr(model, "undirected_edges", ())}
        for source, target in model.edges():
            half = frozenset((str(source), str(target))) in undirected
            votes[index[str(source)], index[str(target)]] = 0.5 if half else 1.0
            if half:
                votes[index[str(target)], index[str(source)]] = 0.5
        return cls._of_votes(votes, titles, data=data, stability=stability, what="graph of pgmpy")

    @classmethod
    def from_evidence(
        cls,
        table: Any,
        data: npt.ArrayLike | None = None,
        *,
        stability: float | None = None,
    ) -> Self:
        """Return the edges of an edge-evidence table, as `hyperfed.evidence` reads it from a file.

        Where each edge has an effect, its confidence follows from its interval, else from its
        strength. Where one has none, effects are estimated in `data`, whose columns are the table's
        variables; then all lags must be 0. Suppressed edges are left out.

        Raises EngineError where nothing gives the effects, or how sure they are.
        """
        rows = [row for row in table.rows if row.status != "suppressed"]
        names = list(table.variables)
        if data is None and all(row.effect is not None for row in rows):
            return cls._of_evidence(names, rows, stability)
        index = {name: i for i, name in enumerate(names)}
        votes, pairs = np.zeros((len(names), len(names))), []
        for row in rows:
            if row.lag:
                raise EngineError(
                    f"has lag {row.lag} and no effect",
                    subject=f"edge {row.source!r:.80} -> {row.target!r:.80}",
                    remedy="Give a file with effects: they are estimated in data at lag 0 only",
                )
            for source, target, vote in evidence_votes(row):
                votes[index[source], index[target]] = vote
            if row.endpoints == "<->":
                pairs.append((row.source, row.target, UNTRIED if stability is None else stability))
        return cls._of_votes(
            votes, names, data=data, stability=stability, what="edge evidence", shared=pairs
        )

    @classmethod
    def _of_evidence(
        cls, names: Sequence[str], rows: Sequence[Any], stability: float | None
    ) -> Self:
        """Return the edges of rows that each have an effect."""
        listed: dict[tuple[str, str, int], tuple[Any, ...]] = {}
        pairs, untried = [], False
        for row in rows:
            tried = stability if row.strength is None else row.strength
            untried |= tried is None
            base = UNTRIED if tried is None else tried
            if row.endpoints == "<->":
                pairs.append((row.source, row.target, base))
            error = np.nan
            if row.ci_low is not None and row.ci_high is not None:
                error = (row.ci_high - row.ci_low) / (2 * Z95)
            sure = row.strength
            if error > 0:
                sure = math.erf(abs(row.effect) / error / math.sqrt(2))
            for source, target, vote in evidence_votes(row):
                if sure is None:
                    raise EngineError(
                        "has neither an interval nor a strength: nothing tells how sure it is",
                        subject=f"edge {row.source!r:.80} -> {row.target!r:.80}",
                        remedy="Give a file with one of them, or data= to estimate them in",
                    )
                mark = "-->" if vote == 1 else _HALF.get(row.endpoints, "o-o")
                about = (row.effect, sure, base * vote, error, row.samples or 0, mark)
                listed.setdefault((source, target, row.lag), about)
        keys = [list(part) for part in zip(*listed, strict=True)] or [[], [], []]
        columns = [list(part) for part in zip(*listed.values(), strict=True)] or [[]] * 6
        return cls._made(
            variables=tuple(names),
            source=keys[0],
            target=keys[1],
            lag=keys[2],
            effect=columns[0],
            confidence=columns[1],
            stability=columns[2],
            std_error=columns[3],
            n=columns[4],
            endpoints=columns[5],
            bidirected=pairs,
            notes=(UNTRIED_NOTE,) if untried else (),
        )

    @classmethod
    def _of_votes(
        cls,
        votes: Floats,
        names: Sequence[str],
        *,
        data: npt.ArrayLike | None,
        stability: float | None,
        what: str,
        marked: MarkedGraph | None = None,
        shared: Sequence[tuple[str, str, float]] = (),
    ) -> Self:
        """Return a graph's edges, with effects estimated in the data."""
        if data is None:
            raise EngineError(
                "says nothing of the edges' effects",
                subject=what,
                remedy="Give data=, the rows it was found in: effects and confidence are estimated "
                "in them",
            )
        rows = rows_of(data, names, what)
        estimates = linear_effects(rows, votes > votes.T, votes > 0)
        source, target = (axis.tolist() for axis in np.nonzero(votes))
        texts = (
            np.where(votes == 1, "-->", "---")[source, target].tolist()
            if marked is None
            else marked.texts(source, target)
        )
        at = (source, target)
        pairs = [] if marked is None else np.argwhere(np.triu(marked.confounded, 1)).tolist()
        base = UNTRIED if stability is None else stability
        return cls._made(
            variables=tuple(names),
            source=[names[i] for i in source],
            target=[names[j] for j in target],
            lag=0,
            lags=(0,),
            effect=estimates.effect[at],
            std_error=estimates.std_error[at],
            confidence=np.nan_to_num(estimates.confidence[at]),
            stability=base * votes[at],
            n=len(rows),
            endpoints=texts,
            bidirected=[*shared, *((names[i], names[j], base) for i, j in pairs)],
            notes=() if stability is not None else (UNTRIED_NOTE,),
        )

    @classmethod
    def _made(cls, **columns: Any) -> Self:
        if isinstance(columns["lag"], int):
            columns["lag"] = [columns["lag"]] * len(columns["source"])
        return cls(**columns)


def evidence_votes(row: Any) -> list[tuple[str, str, float]]:
    """Return (source, target, how much of a vote) of an edge, by its marks (`marks`, rule 2)."""
    ends, back = (row.source, row.target), (row.target, row.source)
    whole = {"-->": ends, "<--": back}.get(row.endpoints)
    if whole is not None:
        return [(*whole, 1.0)]
    half = {"o->": [ends], "<-o": [back], "<->": []}.get(row.endpoints, [ends, back])
    if row.lag:
        half = half[:1]  # time orders
    return [(*one, 0.5) for one in half]


def no_result(value: object, what: str) -> EngineError:
    return EngineError(
        f"a {type(value).__name__} is no result that can be read here",
        subject="graph",
        remedy=f"Give what {what}",
    )


def rows_of(data: npt.ArrayLike, names: Sequence[str], what: str) -> Floats:
    """Return the rows of data without a missing value. Raises EngineError."""
    try:
        rows = np.asarray(data, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise EngineError(f"are no numbers: {exc}"[:200], subject=f"data of the {what}") from exc
    if rows.ndim != 2 or rows.shape[1] != len(names):
        raise EngineError(
            f"have the shape {rows.shape}; a column for each of its {len(names)} variables is "
            "needed, in the same order",
            subject=f"data of the {what}",
        )
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) < 3:
        raise EngineError(
            f"have {len(rows)} rows without a missing value", subject=f"data of the {what}"
        )
    return rows
