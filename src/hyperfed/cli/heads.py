"""Show and compare a ledger's head, and say how old a model is, for several commands.

A head is shown as people read it out, in groups of four digits. What the roots have annulled is
shown beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hyperfed.cli.values import as_usage

if TYPE_CHECKING:
    from hyperfed.protocol.heads import Head
    from hyperfed.protocol.ledger import Chained
    from hyperfed.registry.registry import Registry

__all__ = ["age_of", "head_compared", "head_option", "head_pairs", "told_head"]

F = TypeVar("F", bound=Callable[..., Any])


def head_option(command: F) -> F:
    """Add --head: a head that another party has read out."""
    option = click.option(
        "--head",
        "head_text",
        metavar="HEAD",
        help='Compare the ledger with the head that another member sees: "12: 3f2a 88c1 ...".',
    )
    return option(command)


def told_head(head_text: str | None) -> "Head | None":
    """Return the head that --head gives, or None.

    Raises ConfigError for a text that is none.
    """
    from hyperfed.protocol.heads import Head

    if head_text is None:
        return None
    with as_usage():
        return Head.parse(head_text)


def head_compared(
    ledger: "Sequence[Chained]", other: "Head | None", registry: "Registry"
) -> dict[str, Any]:
    """Return the ledger's head as a document, and what comparing it has shown.

    The document says what the registry's roots have annulled, too. Raises RoundError where `other`
    is of another history (R-130).
    """
    from hyperfed.protocol.heads import annulled_in_words, check_head, head_of

    own_head = head_of(ledger)
    document: dict[str, Any] = {
        "sequence": own_head.sequence,
        "digest": own_head.digest,
        "shown": str(own_head),
        "compared": None,
        "annulled": annulled_in_words(registry.annulled, ledger),
    }
    if other is not None:
        same = check_head(ledger, other)
        document["compared"] = (
            f"the same history as far as entry {other.sequence}"
            if same
            else f"this ledger ends before entry {other.sequence}: compare again when it holds it"
        )
    return document


def head_pairs(head: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `head_compared` has found as pairs of name and text, for people."""
    pairs = {"Ledger's head": head["shown"]}
    if head["compared"]:
        pairs["Compared"] = head["compared"]
    for number, sentence in enumerate(head["annulled"], 1):
        pairs[f"Annulled {number}"] = sentence
    return pairs


def age_of(registry: "Registry", model_round: int, now: datetime) -> dict[str, Any]:
    """Return how many windows have ended since a model's window, and that in words."""
    newest = registry.windows.ended_at(now) if now >= registry.genesis else 0
    behind = max(0, newest - model_round)
    if not behind:
        age_text = "of the newest window that has ended"
    elif behind == 1:
        age_text = (
            f"one window has ended since: round {newest} has no result yet, or it is held back"
        )
    else:
        age_text = (
            f"{behind} windows have ended since: rounds {model_round + 1} to {newest} have no "
            "result here. Where others see newer ones, somebody shows you an old world: compare "
            "heads (--head)"
        )
    return {"windows_behind": behind, "newest_ended_round": newest, "said": age_text}
