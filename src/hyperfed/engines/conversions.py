"""Turn effects that another library found into a `Discovery`, in one line.

1. Where the library gives p-values, confidence is 1 - p; where it gives a bootstrap, stability is
   the share of resamples with the same sign. Of a graph without effects, `graph_conversions` takes
   them from the data.
2. The caller states what nothing else says; otherwise it is `UNTRIED`, a half, and a note says so.
3. Matrices of different libraries mean different things by row and column. Each converter turns
   them as its library documents: lingam has [to, from], causal-learn has the mark at the row,
   tigramite has [from, to, lag].
4. Edges without direction are read as in `graph_conversions`.

Nothing of these libraries is imported here: only what they return is read.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hyperfed.engines.effects import linear_effects
from hyperfed.engines.graph_conversions import (
    UNTRIED,
    UNTRIED_NOTE,
    GraphConversions,
    no_result,
    rows_of,
)
from hyperfed.errors import EngineError

__all__ = ["Conversions"]

_LINKS = {  # tigramite's: how much of a vote from the first variable to the second, and the marks
    "-->": (1.0, "-->"),
    "o-o": (0.5, "o-o"),
    "x-x": (0.5, "o-o"),
    "o->": (0.5, "o->"),
    "x->": (0.5, "o->"),
    "<->": (0.0, ""),
    # the same links from the other end
    "<--": (0.0, ""),
    "<-o": (0.0, ""),
    "<-x": (0.0, ""),
}

Floats = npt.NDArray[np.float64]


class Conversions(GraphConversions):
    """Makes a `Discovery` of what other libraries return."""

    __slots__ = ()

    @classmethod
    def from_lingam(
        cls,
        model: Any,
        names: Sequence[str],
        data: npt.ArrayLike | None = None,
        *,
        bootstrap: Any = None,
        confidence: float | None = None,
        stability: float | None = None,
        n: int = 0,
    ) -> Self:
        """Return the edges of a fitted model of lingam, or of causal-learn's copy of it.

        `data` are the rows of a model without lags, for confidence and intervals; `bootstrap` is
        what `model.bootstrap` returned. Without either, the caller says `confidence`.

        Raises EngineError where the model is not fitted, or nothing gives the confidence.
        """
        lagged = getattr(model, "adjacency_matrices_", None)
        plain = getattr(model, "adjacency_matrix_", None)
        if lagged is None and plain is None:
            raise no_result(model, "lingam's fit() returned")
        by_lag = np.asarray(lagged if lagged is not None else [plain], dtype=np.float64)
        effect = np.nan_to_num(by_lag).transpose(0, 2, 1)  # lingam: [to, from]
        share = _share_of_bootstrap(bootstrap, effect)
        sure, error = _given_or(confidence, effect.shape), None
        if sure is None and data is not None and len(effect) == 1:
            rows = rows_of(data, names, "model of lingam")
            estimates = linear_effects(rows, effect[0] != 0)
            sure, error, n = estimates.confidence[None], estimates.std_error[None], n or len(rows)
        if sure is None and share is not None:
            sure = share
        if sure is None:
            raise EngineError(
                "nothing tells how sure its edges are",
                subject="model of lingam",
                remedy="Give data=, the rows it was fitted to; or bootstrap=; or confidence=",
            )
        return cls._of_effects(
            effect,
            names,
            lags=range(len(effect)),
            confidence=sure,
            std_error=error,
            n=n,
            stability=share if stability is None else stability,
        )

    @classmethod
    def from_tigramite(
        cls,
        results: Mapping[str, Any],
        names: Sequence[str],
        *,
        effects: npt.ArrayLike | None = None,
        tau_min: int = 0,
        stability: npt.ArrayLike | None = None,
        n: int = 0,
    ) -> Self:
        """Return the links that a method of tigramite found: `run_pcmci`, `run_pcmciplus` ...

        The effect is that of `val_matrix`, a partial correlation unless `effects` gives others, as
        [source, target, lag]. Confidence is 1 - p. Where the result is a bootstrap's, its
        `link_frequency` is the stability. `tau_min` is the shortest lag that was looked at.

        Raises EngineError where the results have no graph or no p-values.
        """
        summary = results.get("summary_results", {}) if isinstance(results, Mapping) else {}
        if not isinstance(results, Mapping) or "graph" not in {**results, **summary}:
            raise no_result(results, "a method of tigramite returned, with its graph")
        graph = np.asarray(results.get("graph", summary.get("most_frequent_links")))
        if "p_matrix" not in results:
            raise EngineError("has no p_matrix", subject="results of tigramite")
        value = np.asarray(results["val_matrix"] if effects is None else effects, dtype=np.float64)
        p = np.asarray(results["p_matrix"], dtype=np.float64)
        share = summary.get("link_frequency") if stability is None else stability
        vote = np.zeros(graph.shape)
        texts = np.full(graph.shape, "", dtype=object)
        pairs: dict[tuple[str, str], float] = {}
        for i, j, lag in np.argwhere(graph != "").tolist():
            link = str(graph[i, j, lag])
            if link not in _LINKS:
                raise EngineError(
                    f"has a link {link!r:.20}, which cannot be read here",
                    subject="results of tigramite",
                    remedy=f"Use links of {', '.join(_LINKS)}",
                )
            vote[i, j, lag], texts[i, j, lag] = _LINKS[link]
            if link == "<->" and i != j:
                pair = (min(names[i], names[j]), max(names[i], names[j]))
                pairs[pair] = max(pairs.get(pair, 0.0), float(np.clip(1 - p[i, j, lag], 0, 1)))
        return cls._of_effects(
            np.where(vote > 0, value, 0.0).transpose(2, 0, 1),
            names,
            lags=range(graph.shape[2]),
            looked_at=range(tau_min, graph.shape[2]),
            confidence=np.clip(1 - p, 0, 1).transpose(2, 0, 1),
            stability=None if share is None else np.asarray(share, np.float64).transpose(2, 0, 1),
            votes=vote.transpose(2, 0, 1),
            texts=texts.transpose(2, 0, 1),
            bidirected=tuple((*pair, share) for pair, share in pairs.items()),
            n=n,
        )

    @classmethod
    def from_networkx(
        cls,
        graph: Any,
        *,
        weight: str = "weight",
        confidence: float | None = None,
        stability: float | None = None,
        n: int = 0,
    ) -> Self:
        """Return the edges of a graph of networkx, with their attributes.

        The attribute `weight` is the effect, and is needed. `lag` (0), `confidence` or `p_value`,
        `stability`, `std_error` and `n` are taken where an edge has them, and else from the
        arguments. An undirected edge is half a vote each way.

        Raises EngineError where an edge has no effect, or nothing gives the confidence.
        """
        if not hasattr(graph, "edges") or not hasattr(graph, "is_directed"):
            raise no_result(graph, "networkx makes")
        rows = []
        for source, target, attributes in graph.edges(data=True):
            ways = (
                [(source, target)] if graph.is_directed() else [(source, target), (target, source)]
            )
            if attributes.get(weight) is None:
                raise EngineError(
                    f"has no attribute {weight!r}",
                    subject=f"edge {source!s:.80} -> {target!s:.80}",
                    remedy="Name the attribute that is the effect: weight=...",
                )
            sure = attributes.get("confidence", confidence)
            if attributes.get("p_value") is not None:
                sure = 1.0 - float(attributes["p_value"])
            rows += [(str(a), str(b), attributes, sure, 1 / len(ways)) for a, b in ways]
        return cls._of_rows(
            [str(node) for node in graph.nodes],
            [(a, b, int(attributes.get("lag", 0))) for a, b, attributes, *_ in rows],
            effect=[attributes[weight] for *_, attributes, _, _ in rows],
            confidence=[sure for *_, sure, _ in rows],
            stability=[attributes.get("stability", stability) for *_, attributes, _, _ in rows],
            votes=[vote for *_, vote in rows],
            std_error=[attributes.get("std_error", np.nan) for *_, attributes, _, _ in rows],
            n=[attributes.get("n", n) for *_, attributes, _, _ in rows],
            what="graph of networkx",
        )

    @classmethod
    def from_matrix(
        cls,
        matrix: npt.ArrayLike,
        names: Sequence[str],
        *,
        rows: str = "source",
        lags: Sequence[int] = (0,),
        confidence: npt.ArrayLike | None = None,
        p_values: npt.ArrayLike | None = None,
        stability: npt.ArrayLike | None = None,
        std_error: npt.ArrayLike | None = None,
        n: int = 0,
    ) -> Self:
        """Return the edges of a weight matrix, or of one for each lag: float[lags, d, d].

        `rows` says what a row is: "source", as in networkx and NOTEARS, or "target", as in lingam
        and in a structural equation x = Bx + e. A weight of 0 is no edge. The other matrices have
        the same shape; `confidence` may be one number.

        Raises EngineError where shapes differ, or nothing gives the confidence.
        """
        if rows not in ("source", "target"):
            raise EngineError(
                f"rows is {rows!r:.40}; source or target is needed",
                subject="matrix",
                remedy="Look up whether its row is the cause or the effect: the other way round "
                "every edge would be reversed",
            )
        size = len(names)

        def turned(what: str, value: npt.ArrayLike | None) -> Floats | None:
            if value is None:
                return None
            array = np.asarray(value, dtype=np.float64)
            if array.ndim == 0:
                array = np.full((len(lags), size, size), float(array))
            if array.ndim == 2:
                array = array[None]
            if array.shape != (len(lags), size, size):
                raise EngineError(
                    f"{what} has the shape {array.shape}; {len(lags)} lags and {size} names need "
                    f"{(len(lags), size, size)}",
                    subject="matrix",
                )
            return array if rows == "source" else array.transpose(0, 2, 1)

        weights = turned("it", matrix)
        sure, p = turned("confidence", confidence), turned("p_values", p_values)
        if sure is None and p is not None:
            sure = 1.0 - p
        if weights is None or sure is None:
            raise EngineError(
                "nothing tells how sure its edges are",
                subject="matrix",
                remedy="Give confidence= or p_values=, of the same shape or as one number",
            )
        return cls._of_effects(
            weights,
            names,
            lags=lags,
            confidence=sure,
            std_error=turned("std_error", std_error),
            stability=turned("stability", stability),
            n=n,
        )

    # -- what they share ---------------------------------------------------------------------------

    @classmethod
    def _of_effects(
        cls,
        effect: Floats,
        names: Sequence[str],
        *,
        lags: Iterable[int],
        confidence: Floats,
        stability: npt.ArrayLike | None,
        std_error: Floats | None = None,
        votes: Floats | None = None,
        texts: Any = None,
        bidirected: Sequence[tuple[str, str, float]] = (),
        looked_at: Iterable[int] | None = None,
        n: int = 0,
    ) -> Self:
        """Return the edges whose effect is not 0, of matrices over [lag, source, target]."""
        steps = list(lags)
        if effect.shape[1:] != (len(names), len(names)):
            raise EngineError(
                f"{len(names)} names for a matrix of shape {effect.shape[1:]}", subject="matrix"
            )
        at = np.nonzero(effect)
        vote = np.ones(len(at[0])) if votes is None else votes[at]
        share = UNTRIED if stability is None else stability
        return cls._made(
            variables=tuple(names),
            source=[names[i] for i in at[1].tolist()],
            target=[names[j] for j in at[2].tolist()],
            lag=[steps[i] for i in at[0].tolist()],
            lags=tuple(steps if looked_at is None else looked_at),
            effect=effect[at],
            std_error=None if std_error is None else std_error[at],
            confidence=confidence[at],
            stability=np.broadcast_to(np.asarray(share, np.float64), effect.shape)[at] * vote,
            n=n,
            endpoints=None if texts is None else [str(text) for text in texts[at]],
            bidirected=bidirected,
            notes=() if stability is not None else (UNTRIED_NOTE,),
        )

    @classmethod
    def _of_rows(
        cls,
        names: Sequence[str],
        keys: Sequence[tuple[str, str, int]],
        *,
        effect: Sequence[float],
        confidence: Sequence[float | None],
        stability: Sequence[float | None],
        votes: Sequence[float],
        std_error: Sequence[float],
        n: Sequence[int],
        what: str,
    ) -> Self:
        """Return edges given one by one."""
        for (source, target, _), sure in zip(keys, confidence, strict=True):
            if sure is None:
                raise EngineError(
                    f"nothing tells how sure its edge {source!r:.80} -> {target!r:.80} is",
                    subject=what,
                    remedy="Give the edges an attribute confidence or p_value, or confidence=",
                )
        untried = any(share is None for share in stability)
        return cls._made(
            variables=tuple(names),
            source=[source for source, _, _ in keys],
            target=[target for _, target, _ in keys],
            lag=[lag for _, _, lag in keys],
            lags=sorted({lag for _, _, lag in keys} or {0}),
            effect=list(effect),
            std_error=list(std_error),
            confidence=list(confidence),
            stability=[
                (UNTRIED if share is None else share) * vote
                for share, vote in zip(stability, votes, strict=True)
            ],
            n=list(n),
            notes=(UNTRIED_NOTE,) if untried else (),
        )


def _given_or(value: float | None, shape: tuple[int, ...]) -> Floats | None:
    return None if value is None else np.full(shape, float(value))


def _share_of_bootstrap(bootstrap: Any, effect: Floats) -> Floats | None:
    """Return how often a bootstrap of lingam finds each effect's sign, as [lag, source, target]."""
    if bootstrap is None:
        return None
    matrices = getattr(bootstrap, "adjacency_matrices_", None)
    if matrices is None:
        raise no_result(bootstrap, "lingam's bootstrap() returned")
    samples = np.nan_to_num(np.asarray(matrices, dtype=np.float64))
    count, _, width = samples.shape
    size = effect.shape[1]
    # [resample, to, lag * from]: the lags lie side by side
    by_lag = samples.reshape(count, size, width // size, size).transpose(0, 2, 3, 1)
    return np.asarray((np.sign(by_lag) == np.sign(effect)).mean(axis=0))
