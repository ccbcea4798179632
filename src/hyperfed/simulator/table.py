"""Measure the robustness tables of docs/robustness.md: rules x attacks x shares of liars x worlds.

1. The truth is the world's (`worlds`). A rule is told the true number of liars. `multi-krum` has a
   second row, in which it is always told 30 % of the clients. `adaptive` is told losses: once true
   ones, and once false ones by the liars. A rule that refuses has no figures and shows "-".
2. Every attack is played loud and quiet (`simulator.attackers`), and with several seeds, which
   change the data and the liars. A cell is the mean over seeds.
3. A rule's summary is over all attacks: the mean and the worst F1, the mean structural Hamming
   distance, the mean effect error (each night's is held to 1), and what was kept of the same rule's
   honest night.
4. MDA and SMEA take at most 20 clients. They are compared, with all others, in a federation of 16.
5. The winner has the best mean F1 over all worlds, shares and voices. A tie goes to the smaller
   mean effect error. A rule that refused anywhere is not ranked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hyperfed.aggregation import RULES
from hyperfed.simulator.attackers import ATTACKS
from hyperfed.simulator.run import SimulatedNight, Simulation, simulate
from hyperfed.simulator.worlds import WORLDS

__all__ = ["SHARES", "VOICES", "Rank", "Table", "entries", "measure"]

SHARES = (0.1, 0.2, 0.3)
"""The shares of clients that lie."""
VOICES = ("loud", "quiet")
"""Whether liars are sure of everything, or vote no louder than others."""
WRONG = 0.3  # the share of liars that `multi-krum` is told in its second row

Entry = tuple[str, dict[str, Any]]


def entries(clients: int) -> list[Entry]:
    """Return the table's rows in their order, as (name, changes to a simulation's defaults)."""
    rows: list[Entry] = [(name, {"rule": name}) for name in RULES if name != "adaptive"]
    at = next(i for i, (name, _) in enumerate(rows) if name == "multi-krum") + 1
    rows.insert(
        at,
        (f"multi-krum, always told {WRONG:.0%}", {"rule": "multi-krum", "f": int(WRONG * clients)}),
    )
    rows.append(("adaptive, true losses", {"rule": "adaptive"}))
    rows.append(("adaptive, liars claim 0", {"rule": "adaptive", "false_losses": True}))
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """Holds a row of the ranking.

    All figures are means over the worlds, shares, attacks and seeds.
    """

    rule: str
    """The name of the table's row."""
    f1: float
    """The F1 of signed edges, over both voices."""
    effect_error: float
    """The effect error, each night's held to 1."""
    loud: float
    """The F1 when liars are loud."""
    quiet: float
    """The F1 when liars are quiet."""
    kept: float
    """The F1 against the same rule's honest night."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Holds everything that was measured."""

    clients: int
    """The number of clients."""
    nights: dict[tuple[str, str, float, str, str], list[SimulatedNight]] = field(
        default_factory=dict
    )
    """One night for each seed, by (world, voice, share, row, attack)."""

    @property
    def rows(self) -> list[str]:
        """The names of the rows that were played, in the table's order."""
        played = {row for _, _, _, row, _ in self.nights}
        return [name for name, _ in entries(self.clients) if name in played]

    def of(self, world: str, voice: str, share: float, row: str) -> list[SimulatedNight]:
        """Return all nights of a row, over attacks and seeds."""
        return [
            night for attack in ATTACKS for night in self.nights[world, voice, share, row, attack]
        ]

    def ranking(self, worlds: Sequence[str] | None = None) -> list[Rank]:
        """Return the ranking over `worlds`, the best first; None: over all worlds.

        A row that refused anywhere is left out.
        """
        cells = sorted(
            {
                (world, voice, share)
                for world, voice, share, _, _ in self.nights
                if worlds is None or world in worlds
            }
        )
        ranks = []
        for row in self.rows:
            by_voice = {
                v: [
                    night
                    for world, voice, share in cells
                    if voice == v
                    for night in self.of(world, voice, share, row)
                ]
                for v in VOICES
            }
            nights = [night for part in by_voice.values() for night in part]
            if not any(night.refused for night in nights):
                f1 = {v: _mean([n.score.f1 for n in part]) for v, part in by_voice.items() if part}
                error, stood = (
                    _mean([min(n.score.effect_error, 1.0) for n in nights]),
                    _mean([n.kept for n in nights]),
                )
                everything = _mean([n.score.f1 for n in nights])
                ranks.append(
                    Rank(
                        rule=row,
                        f1=everything,
                        effect_error=error,
                        loud=f1.get("loud", 0.0),
                        quiet=f1.get("quiet", 0.0),
                        kept=stood,
                    )
                )
        return sorted(ranks, key=lambda r: (-round(r.f1, 4), r.effect_error, r.rule))

    def summary(self, world: str, voice: str, shares: Sequence[float]) -> str:
        """Return a markdown table with one row for each rule, and five figures for each share."""
        lines = [
            "| rule | "
            + " | ".join(f"{share:.0%}: F1 | worst | SHD | error | kept" for share in shares)
            + " |",
            "|---" * (1 + 5 * len(shares)) + "|",
        ]
        for row in self.rows:
            cells = []
            for share in shares:
                nights = self.of(world, voice, share, row)
                if any(night.refused for night in nights):
                    cells += ["-"] * 5
                    continue
                worst = min(
                    _mean([n.score.f1 for n in self.nights[world, voice, share, row, attack]])
                    for attack in ATTACKS
                )
                figures = [
                    _mean([n.score.f1 for n in nights]),
                    worst,
                    _mean([min(n.score.effect_error, 1.0) for n in nights]),
                    _mean([n.kept for n in nights]),
                ]
                f1, low, error, stood = (f"{figure:.2f}" for figure in figures)
                cells += [f1, low, f"{_mean([n.score.shd for n in nights]):.1f}", error, stood]
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def detail(self, world: str, voice: str, share: float) -> str:
        """Return a markdown table with one row for each rule that never refused.

        Each cell holds F1 / SHD / effect error of one attack, as means over seeds.
        """
        lines = [
            "| rule | nobody | " + " | ".join(ATTACKS) + " |",
            "|---" * (2 + len(ATTACKS)) + "|",
        ]
        for row in self.rows:
            nights = {attack: self.nights[world, voice, share, row, attack] for attack in ATTACKS}
            if any(night.refused for part in nights.values() for night in part):
                continue
            scores = [
                [n.honest for n in next(iter(nights.values()))],
                *([n.score for n in part] for part in nights.values()),
            ]
            cells = [
                f"{_mean([s.f1 for s in c]):.2f} / {_mean([s.shd for s in c]):.1f} / "
                f"{_mean([min(s.effect_error, 99) for s in c]):.2f}"
                for c in scores
            ]
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
        return "\n".join(lines)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def measure(
    *,
    clients: int,
    worlds: Sequence[str] = WORLDS,
    shares: Sequence[float] = SHARES,
    voices: Sequence[str] = VOICES,
    seeds: Sequence[int] = (0,),
    rows: Sequence[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Table:
    """Play everything, and return the table.

    Args:
        clients: The number of clients.
        worlds: The names of the worlds.
        shares: The shares of clients that lie.
        voices: Whether the liars are "loud" or "quiet".
        seeds: The seeds.
        rows: The names of the rows to play; None: all.
        progress: A function that is called with each world, share and row as it begins.
    """
    table = Table(clients=clients)
    for world in worlds:
        for share in shares:
            for row, differs in entries(clients):
                if rows is not None and row not in rows:
                    continue
                if progress is not None:
                    progress(f"{world} {share:.0%} {row}")
                for voice in voices:
                    for attack in ATTACKS:
                        table.nights[world, voice, share, row, attack] = [
                            next(
                                iter(
                                    simulate(
                                        Simulation(
                                            clients=clients,
                                            byzantine=share,
                                            attack=attack,
                                            world=world,
                                            seed=s,
                                            quiet=voice == "quiet",
                                            **differs,
                                        )
                                    )
                                )
                            )
                            for s in seeds
                        ]
    return table
