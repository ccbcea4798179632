"""Explain one pair of variables: what the model knows of each edge between them, in sentences.

1. Present, suppressed, missing, absent and not released are five words, and none stands for another
   (`EdgeStatus`).
2. Every number is given with its meaning, and what is not known is said to be unknown.
3. The edges the other way are named, because a reader who asks whether x causes y must see whether
   the federation says that y causes x.
"""

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperfed.hypergraph.direction import DISPUTED
from hyperfed.hypergraph.model_summary import interval_words, number_words, q_words
from hyperfed.hypergraph.suppression import EdgeStatus
from hyperfed.tables.tables import pack_keys

if TYPE_CHECKING:
    from hyperfed.hypergraph.global_model import GlobalModel

__all__ = ["Explanation", "edge_sentences", "explain"]

_ALL_CHANCE = 0.005  # a share that reads 0 %
_ZERO = ("The interval includes 0: clients agree on the sign, and the size may be none.",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Holds what a model knows of the edges from one variable to another."""

    source: str
    """The variable that would act."""
    target: str
    """The variable that it would act on."""
    round: int
    """The model's round."""
    status: tuple[tuple[int, EdgeStatus], ...]
    """(lag, how the edge stands) for each lag that the policy allows or that an edge has."""
    edges: tuple[dict[str, Any], ...]
    """The edges from source to target, as in `GlobalModel.rows`."""
    reverse: tuple[dict[str, Any], ...]
    """The edges from target to source."""
    sentences: tuple[str, ...]
    """What it says, in words."""

    def __str__(self) -> str:
        """Return the sentences, one a line."""
        return "\n".join(self.sentences)

    def _repr_html_(self) -> str:
        """Return the sentences as HTML, for notebooks."""
        first, *others = (escape(sentence) for sentence in self.sentences)
        items = "".join(f"<li>{sentence}</li>" for sentence in others)
        return f"<p><strong>{first}</strong></p><ul>{items}</ul>"


def explain(model: "GlobalModel", source: int | str, target: int | str) -> Explanation:
    """Return what the model knows of the edges from one variable to another, at every lag.

    Raises BoundsError for an unknown variable.
    """
    from_name, to_name = (
        model.vocabulary.variables[model.graph.index(end)].name for end in (source, target)
    )
    rows = model.rows()
    forward = _between(rows, from_name, to_name)
    reverse = () if from_name == to_name else _between(rows, to_name, from_name)
    lags = {*model.policy.allowed_lags, *(model.lags or ()), *(row["lag"] for row in forward)}
    status = tuple(
        (lag, model.status(from_name, to_name, lag))
        for lag in sorted(lags)
        if lag or from_name != to_name
    )
    sentences = [f"{from_name} -> {to_name}, round {model.round} of {model.federation}"]
    for row in forward:
        sentences += edge_sentences(model, row)
    for kind in EdgeStatus:
        at = [lag for lag, found in status if found is kind]
        if at and kind is not EdgeStatus.PRESENT:
            sentences.append(f"At {_lag_words(at)}: {kind.word}. {kind.meaning}")
    for row in reverse:
        sentences.append(
            f"The other way: {to_name} -> {from_name} at lag {row['lag']} has vote "
            f"{row['vote']:+.2f} and effect {number_words(row['effect'])}."
        )
    return Explanation(
        source=from_name,
        target=to_name,
        round=model.round,
        status=status,
        edges=forward,
        reverse=reverse,
        sentences=tuple(sentences),
    )


def _between(rows: list[dict[str, Any]], source: str, target: str) -> tuple[dict[str, Any], ...]:
    chosen = (row for row in rows if (row["source"], row["target"]) == (source, target))
    return tuple(sorted(chosen, key=lambda row: int(row["lag"])))


def _lag_words(lags: list[int]) -> str:
    """Return ascending lags in words, such as "lags 0, 2 to 64"."""
    runs: list[list[int]] = []
    for lag in lags:
        if runs and runs[-1][-1] == lag - 1:
            runs[-1].append(lag)
        else:
            runs.append([lag])
    words = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return f"lag{'' if len(lags) == 1 else 's'} {', '.join(words)}"


def edge_sentences(model: "GlobalModel", row: dict[str, Any]) -> list[str]:
    """Return what is known of one edge of the model, given as a row of `GlobalModel.rows`."""
    way = "raises" if row["effect"] > 0 else "lowers" if row["effect"] < 0 else "does not move"
    unknown = "not known" if model.privacy is None else "not released"
    change = f"by {number_words(abs(row['effect']))} " if row["effect"] else ""
    sentences = [
        f"At lag {row['lag']}: one unit more of {row['source']} {way} {row['target']} {change}"
        f"(95 % interval {interval_words(row['ci_low'], row['ci_high'])}).",
        *(_ZERO if _includes_zero(row) else ()),
        _support_sentence(model, row),
        f"The weighted mean vote is {row['vote']:+.2f}, from -1 to 1.",
    ]
    sentences.append(
        f"How often edges as sure as this one are false is {unknown}."
        if row["q"] is None
        else f"Of the edges as sure as this one, the share that is false (q) is "
        f"{q_words(row['q'])}."
    )
    if row["i2"] is not None:
        sentences.append(
            "Chance explains all of the spread between clients (I2 is 0 %)."
            if row["i2"] < _ALL_CHANCE
            else f"Chance does not explain {100 * row['i2']:.0f} % of the spread between clients "
            "(I2)."
        )
    if row["predict_low"] is not None and row["predict_low"] < row["predict_high"]:
        sentences.append(
            "At another client the effect would lie, 95 times in 100, in the range "
            f"{interval_words(row['predict_low'], row['predict_high'])}."
        )
    if row["without_low"] is not None:
        sentences.append(
            "Whichever client is left out, the pooled effect stays in the range "
            f"{interval_words(row['without_low'], row['without_high'])}."
        )
    if row["positive"] is not None:
        sentences.append(
            f"{row['positive']} clients have an effect above 0, and {row['negative']} below."
        )
    if row["direction"] < DISPUTED:
        sentences.append(
            f"The direction is disputed: {100 * row['direction']:.0f} % of the votes on this pair "
            "run this way."
        )
    by_basket = _basket_words(model, row)
    if by_basket:
        sentences.append(f"Support by basket: {by_basket}.")
    if row["notes"]:
        sentences.append(f"Note: {row['notes']}.")
    return sentences


def _includes_zero(row: dict[str, Any]) -> bool:
    return row["ci_low"] is not None and row["ci_low"] <= 0 <= row["ci_high"]


def _support_sentence(model: "GlobalModel", row: dict[str, Any]) -> str:
    if model.opened_by:
        samples = "" if row["samples"] is None else f" and {row['samples']:,} samples"
        return (
            f"It was found in the {'' if model.privacy is None else 'noised '}sum of "
            f"{row['measured_by']} clients{samples}, which nobody sees one by one: how many of "
            "them agree is not known."
        )
    if row["support"] is None:
        return f"How many of {row['measured_by']} clients report it is not released."
    return (
        f"{row['support']} of {row['measured_by']} clients that measured it report it with this "
        f"sign, on {row['samples']:,} samples."
    )


def _basket_words(model: "GlobalModel", row: dict[str, Any]) -> str:
    """Return the support of an edge by basket; empty where clients are of one basket."""
    source, target = (
        np.array([model.vocabulary.index(row[end])], np.uint32) for end in ("source", "target")
    )
    key = pack_keys(source, target, np.array([row["lag"]], np.uint16))
    at = int(np.searchsorted(model.edges.keys, key)[0])
    return ", ".join(
        f"{one.name or 'the common group'} {int(one.support[at])} of {one.clients}"
        for one in model.support_by
    )
