"""Write docs/robustness.md: the robustness tables and what they mean.

The command `hyperfed simulate --table docs/robustness.md` runs it.
"""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from hyperfed.packets import PolicyPack
from hyperfed.simulator.attackers import ATTACKS
from hyperfed.simulator.table import SHARES, VOICES, Rank, Table, entries, measure

__all__ = ["SEEDS", "cells", "write_page"]

SEEDS = (0, 1, 2)
_WIDTH = 100
_TITLES = {
    "demo": "Real data: the 48 US states of the demonstration",
    "sem-weak": "A linear SEM with known truth, few samples, clients that differ much",
    "var-weak": "A VAR(2) with known truth, few samples, clients that differ much",
    "sem": "A linear SEM with known truth, many samples, clients that differ a little",
    "var": "A VAR(2) with known truth, many samples, clients that differ a little",
}
_MEANINGS = {
    "demo": "The truth is what all states say together, at equal weights, when nobody lies.",
    "sem-weak": "A client has 20 to 60 samples.",
    "var-weak": "A client has 30 to 80 samples.",
    "sem": "There are 10 variables, all effects are at lag 0, and a client has 80 to 400 samples.",
    "var": "There are 5 variables, lags 1 and 2, and a client has 150 to 400 samples.",
}
_DETAILED = ("demo",)
_SMALL = ("sem", "var")


def cells() -> int:
    """Return how often `progress` is called while the whole page is measured."""
    rows = len(entries(48))
    return rows * len(SHARES) * (len(_TITLES) + len(_SMALL))


def write_page(
    path: Path,
    *,
    seed: int = 0,
    seeds: Sequence[int] | None = None,
    worlds: Sequence[str] = tuple(_TITLES),
    shares: Sequence[float] = SHARES,
    progress: Callable[[str], None] | None = None,
) -> list[Rank]:
    """Measure everything, write the page, and return the ranking, best first.

    Args:
        path: The file to write.
        seed: The number that is added to each of `SEEDS`.
        seeds: The seeds to play instead.
        worlds: The names of the worlds, to try fewer than all.
        shares: The shares of liars, to try fewer than all.
        progress: A function that is called with each world, share and row as it begins.
    """
    played = tuple(seed + s for s in SEEDS) if seeds is None else tuple(seeds)
    large = measure(clients=48, worlds=worlds, shares=shares, seeds=played, progress=progress)
    small = measure(
        clients=16,
        worlds=_SMALL,
        voices=("loud",),
        shares=shares,
        seeds=played[:1],
        progress=progress,
    )
    path.write_text(_page(large, small, played, worlds, shares), encoding="utf-8")
    return large.ranking()


def _page(
    large: Table, small: Table, seeds: Sequence[int], worlds: Sequence[str], shares: Sequence[float]
) -> str:
    default = PolicyPack().rule
    parts = [
        "# How robust each rule is",
        "",
        _prose(
            "`hyperfed simulate --table docs/robustness.md` makes this page; the seed determines "
            "everything. This command plays a single cell:"
        ),
        "",
        "    hyperfed simulate --world demo --clients 48 --byzantine 0.3 --attack alie \\",
        "        --quiet-liars --rule multi-krum --nights 1",
        "",
        _prose(
            f"There are 48 clients, of which 10, 20 or 30 % lie, and {len(seeds)} seeds. Each seed "
            "has other data and other liars; the demonstration's data stay the same, but its "
            "bootstraps and its liars change. Liars collude, and see everything that honest "
            "clients send before they choose (`hyperfed.simulator.attackers`). Each attack is "
            "played twice: by liars who are sure of everything they say (loud), and by liars with "
            "votes as large as the median honest client's (quiet)."
        ),
        "",
        _prose(
            "Each rule gets the true number of liars, which nobody knows in practice; a second row "
            "of `multi-krum` always assumes 30 %. `bounded-trust` and `mean` need no number. "
            "`adaptive` weighs by claimed losses: true ones, and liars' claims of 0."
        ),
        "",
        f"- `F1`: of signed edges, mean over {len(ATTACKS)} attacks; `worst`: the worst attack's.",
        "- `SHD`: edges missing, too many or of the wrong sign, mean.",
        "- `error`: of the effects, relative, mean; 1 is an empty model.",
        "- `kept`: F1 against the same rule's model of the same night when nobody lies. It shows",
        "  the cost of the attack, apart from what the rule itself does.",
        "- `-`: the rule refuses so many liars among so few clients (bulyan needs 4f + 3; mda and",
        "  smea take at most 20 clients).",
        "",
        "## Who wins",
        "",
        _ranked(large.ranking()),
        "",
        "The same ranking without the demonstration, for the worlds with a known truth:",
        "",
        _ranked(large.ranking(_known(worlds) or worlds)),
        "",
        _verdict(large, default, worlds),
    ]
    for world in worlds:
        parts += ["", f"## {_TITLES[world]}", "", _MEANINGS[world]]
        for voice in VOICES:
            parts += ["", f"{voice.capitalize()} liars:", "", large.summary(world, voice, shares)]
            if world in _DETAILED:
                parts += [
                    "",
                    f"At {shares[-1]:.0%}, {voice}, attack by attack: F1 / SHD / effect error.",
                    "",
                    large.detail(world, voice, shares[-1]),
                ]
    parts += ["", "## Sixteen clients, where MDA and SMEA can search"]
    for world in _SMALL:
        parts += ["", f"World `{world}`, loud, one seed:", "", small.summary(world, "loud", shares)]
    parts += [
        "",
        "## What this does not show",
        "",
        _prose(
            "No rule finds liars that are the majority, or a lie inside the honest spread. No rule "
            "carries a privacy label: a robust rule's result is an exact function of the updates, "
            "and a policy that asks for both is refused. The attacks are those of the literature "
            "that each attack's file cites, not every possible attack. The demonstration's truth "
            "has four edges, and two more lie just under the cut: one edge more or less changes "
            "its F1 by 0.1."
        ),
    ]
    return "\n".join(parts) + "\n"


def _prose(text: str) -> str:
    """Return a paragraph that is broken into lines of the page's width."""
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _ranked(ranking: Sequence[Rank]) -> str:
    rows = [
        f"| {place} | {r.rule} | {r.f1:.3f} | {r.effect_error:.3f} | {r.loud:.3f} | "
        f"{r.quiet:.3f} | {r.kept:.3f} |"
        for place, r in enumerate(ranking, 1)
    ]
    return "\n".join(
        [
            "| place | rule | mean F1 | mean effect error | F1, loud | F1, quiet | kept |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ]
    )


def _known(worlds: Sequence[str]) -> list[str]:
    """Return the worlds in which the truth is known."""
    return [world for world in worlds if world != "demo"]


def _verdict(table: Table, default: str, worlds: Sequence[str]) -> str:
    ranking = table.ranking()
    order = [rank.rule for rank in ranking]
    winner, place = order[0], order.index(default) + 1
    if winner == default:
        return f"The default is the winner: `{default}`, and it needs no number of liars."
    by_kept = [rank.rule for rank in sorted(ranking, key=lambda rank: -rank.kept)]
    ranked_rules = [rank.rule for rank in table.ranking(_known(worlds) or worlds)]
    return _prose(
        f"`{winner}` wins. The default, `{default}`, is number {place}; in the worlds with a known "
        f"truth it is number {ranked_rules.index(default) + 1}, and by what it keeps of an honest "
        f"night it is number {by_kept.index(default) + 1}. It needs no number of liars. Its time "
        "and memory grow with the rows, while those of distance-based rules grow with the square "
        "of the clients. It leaves nobody out on a night when nobody lies. On the demonstration "
        "it loses as much on honest nights: clients that disagree with the others weigh less, and "
        "two edges that all clients together put just below the cut come out just above it."
    )
