"""Hold what an engine found beside its edges, and turn it into what travels.

1. Marks at the ends become votes on a graph (`dag_edges`). The weight of x --> y is the share of
   resamples that find that direction; x o-> y has what is left of half a vote.
2. The ends of x <-> y share a cause that nobody measured. They become `confounders` where at least
   half of the resamples find the pair.
3. Variables that an experiment set become `interventions`, one map each: {"variable": index}.
4. Interactions become hyperedges, with their own effect, confidence and stability.

What it does not do: it does not decide what is shared (`client_agent`).
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperfed.errors import EngineError
from hyperfed.kernels.layout import Z95
from hyperfed.packets import CausalSemanticPack
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

if TYPE_CHECKING:
    from hyperfed.engines.base import Discovery

__all__ = ["ENDPOINTS", "Interaction", "check_structure", "to_hyperedges", "to_semantic"]

ENDPOINTS = ("", "-->", "o->", "---", "o-o", "o--", "--o")
"""The marks that an edge may have; "" where it has none."""
_CONFOUNDED = 0.5
_MOST_SOURCES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """Holds an effect that several causes have together, beyond what each has alone.

    Raises EngineError where a value is out of its bounds.
    """

    sources: tuple[str, ...]
    """The names of the causes: 2 to 64, each once."""
    target: str
    """The name of what they act on."""
    lag: int = 0
    """Steps between causes and effect."""
    effect: float
    """The coefficient of the product of the causes, each less its mean."""
    confidence: float
    """1 - p of its two-sided test, in [0, 1]."""
    stability: float
    """The share of resamples that find it again with its sign, in [0, 1]."""
    std_error: float | None = None
    """The standard error of the effect, or None where it is not known."""
    hits: int = 1
    """How often it was found."""
    n: int = 0
    """The number of rows behind it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", tuple(sorted(self.sources)))
        sources = self.sources
        if not 2 <= len(sources) <= _MOST_SOURCES or len(set(sources)) != len(sources):
            raise EngineError(
                f"an interaction has {len(set(sources))} different causes; 2 to {_MOST_SOURCES} "
                "are needed",
                subject=self._subject,
            )
        if self.lag < 0 or (self.lag == 0 and self.target in sources):
            raise EngineError(
                f"has lag {self.lag}, and a cause acts on itself after a lag only",
                subject=self._subject,
            )
        for name, low, high in (
            ("effect", -np.inf, np.inf),
            ("confidence", 0, 1),
            ("stability", 0, 1),
        ):
            value = getattr(self, name)
            if not np.isfinite(value) or not low <= value <= high:
                raise EngineError(
                    f"{name} is {value!r:.40}, outside [{low:g}, {high:g}]", subject=self._subject
                )

    @property
    def _subject(self) -> str:
        return f"interaction of {', '.join(self.sources)} on {self.target}"[:200]


def check_structure(discovery: "Discovery") -> None:
    """Keep what was found beside the edges, checked. Raises EngineError, which names the part."""
    keep: dict[str, Any] = {}
    variable_names = set(discovery.variables)
    if discovery.endpoints is not None:
        endpoints = tuple(str(text) for text in discovery.endpoints)
        if len(endpoints) != len(discovery.source):
            raise EngineError(
                f"{len(endpoints)} endpoints for {len(discovery.source)} edges",
                subject="discovery",
            )
        strange = [text for text in endpoints if text not in ENDPOINTS]
        if strange:
            raise EngineError(
                f"endpoints has {strange[0]!r:.20}",
                subject="discovery",
                remedy=f"Use {', '.join(ENDPOINTS[1:])}; x <-> y goes into `bidirected`",
            )
        keep["endpoints"] = endpoints
    pairs = []
    for first, second, share in discovery.bidirected:
        _check_names((first, second), variable_names, "bidirected")
        if first == second or not 0 <= share <= 1:
            raise EngineError(
                f"bidirected has ({first!r:.80}, {second!r:.80}, {share!r:.20}); two variables and "
                "a share from 0 to 1 are needed",
                subject="discovery",
            )
        pairs.append((*sorted((first, second)), float(share)))
    keep["bidirected"] = tuple(sorted(pairs))
    for interaction in discovery.interactions:
        _check_names((*interaction.sources, interaction.target), variable_names, "interactions")
        if interaction.lag not in discovery.lags:
            raise EngineError(
                f"has lag {interaction.lag}, which is not among the lags looked at",
                subject=f"interaction on {interaction.target}",
                remedy="Name in `lags` all lags that were looked at",
            )
    keep["interactions"] = tuple(discovery.interactions)
    _check_names(discovery.intervened, variable_names, "intervened")
    keep["intervened"] = tuple(sorted(set(discovery.intervened)))
    for name, value in keep.items():
        object.__setattr__(discovery, name, value)


def _check_names(names: Iterable[str], variable_names: set[str], what: str) -> None:
    for name in names:
        if name not in variable_names:
            raise EngineError(
                f"{what} names {name!r:.80}, which is not among its variables",
                subject="discovery",
                remedy="Name in `variables` all that was measured",
            )


def to_semantic(
    discovery: "Discovery", vocabulary: Vocabulary, shared: EdgeTable
) -> CausalSemanticPack | None:
    """Return the graph's marks, shared causes and experiments; None where there are none.

    Only the edges that are shared have their marks reported.
    """
    index = {name: i for i, name in enumerate(vocabulary.names)}
    now = shared.take(shared.lag == 0)
    pairs = set(zip(now.source.tolist(), now.target.tolist(), strict=True))
    dag = []
    if discovery.endpoints is not None:
        for row in np.flatnonzero(np.asarray(discovery.lag) == 0).tolist():
            ends = (str(discovery.source[row]), str(discovery.target[row]))
            if discovery.endpoints[row] not in ("-->", "o->") or not set(ends) <= index.keys():
                continue
            source, target = (index[end] for end in ends)
            if (source, target) in pairs:
                dag.append((source, target, float(discovery.stability[row])))
    confounders = {
        index[name]
        for first, second, share in discovery.bidirected
        for name in (first, second)
        if share >= _CONFOUNDED and name in index
    }
    acts = [{"variable": index[name]} for name in discovery.intervened if name in index]
    if not (dag or confounders or acts):
        return None
    return CausalSemanticPack(
        dag_edges=dag, confounders=sorted(confounders), interventions=list(acts)
    )


def to_hyperedges(discovery: "Discovery", vocabulary: Vocabulary) -> HyperedgeTable | None:
    """Return the interactions of the vocabulary's variables as hyperedges, or None for none.

    Raises EngineError where one is given twice.
    """
    index = {name: i for i, name in enumerate(vocabulary.names)}
    rows = [
        (index[one.target], one.lag, sorted(index[name] for name in one.sources), one)
        for one in discovery.interactions
        if {*one.sources, one.target} <= index.keys()
    ]
    if not rows:
        return None
    rows.sort(key=lambda row: (row[0], row[1], len(row[2]), row[2]))
    for (*before, _), (*after, one) in itertools.pairwise(rows):
        if before == after:
            raise EngineError(
                "is there twice",
                subject=f"interaction of {', '.join(one.sources)} on {one.target}",
                remedy="Give each interaction in one row by (sources, target, lag)",
            )
    return HyperedgeTable(**_columns(rows))


def _columns(rows: Sequence[tuple[int, int, list[int], Interaction]]) -> Mapping[str, Any]:
    """Return the columns of hyperedges, in the order of the rows."""
    effect = np.array([one.effect for *_, one in rows], dtype=np.float64)
    error = np.array([one.std_error or 0.0 for *_, one in rows], dtype=np.float64)
    has_errors = bool(error.any())
    return {
        "sources": np.array([i for _, _, sources, _ in rows for i in sources], dtype=np.uint32),
        "offsets": np.cumsum([0, *(len(sources) for _, _, sources, _ in rows)]).astype(np.uint32),
        "target": np.array([target for target, *_ in rows], dtype=np.uint32),
        "lag": np.array([lag for _, lag, *_ in rows], dtype=np.uint16),
        "effect": effect,
        "confidence": np.array([one.confidence for *_, one in rows], dtype=np.float64),
        "stability": np.array([one.stability for *_, one in rows], dtype=np.float64),
        "hits": np.array([one.hits for *_, one in rows], dtype=np.uint32),
        "n": np.array([one.n for *_, one in rows], dtype=np.uint64),
        "ci_low": effect - Z95 * error if has_errors else None,
        "ci_high": effect + Z95 * error if has_errors else None,
    }
