"""The robustness table: rules x attacks x shares of liars x worlds, as markdown. docs/robustness.md is what it writes.

1. The honest truth is the world's (`worlds`); a rule is told the f that lies. A rule that refuses has no figures and shows "-".
2. A rule's summary is over all attacks: the mean and the worst F1, the mean structural Hamming distance, the mean effect error (held to 1 each).
3. MDA and SMEA take at most 20 clients: they are compared, with all others, in a federation of 16.
4. The winner has the best mean F1 over all worlds and shares; ties go by the mean effect error. A rule that refused anywhere is not ranked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hyperfed.aggregation import RULES
from hyperfed.testing.attackers import ATTACKS
from hyperfed.testing.simulator.run import Night, Simulation, simulate
from hyperfed.testing.simulator.worlds import WORLDS

__all__ = ["SHARES", "Table", "measure"]

SHARES = (0.1, 0.2, 0.3)
_RULES = tuple(name for name in RULES if name != "adaptive")  # it needs losses, and bears nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """clients; nights: by (world, share, rule, attack)."""

    clients: int
    nights: dict[tuple[str, float, str, str], Night] = field(default_factory=dict)

    def of(self, world: str, share: float, rule: str) -> list[Night]:
        """The nights of a rule, one an attack."""
        return [self.nights[world, share, rule, attack] for attack in ATTACKS]

    def ranking(self) -> list[tuple[str, float, float]]:
        """(rule, mean F1, mean effect error) over everything, best first; without rules that refused anywhere."""
        cells = sorted({(world, share) for world, share, _, _ in self.nights})
        rows = []
        for rule in _RULES:
            nights = [night for world, share in cells for night in self.of(world, share, rule)]
            if not any(night.refused for night in nights):
                rows.append((rule, float(np.mean([n.score.f1 for n in nights])), float(np.mean([min(n.score.effect_error, 1.0) for n in nights]))))
        return sorted(rows, key=lambda row: (-round(row[1], 4), row[2], row[0]))

    def summary(self, world: str, shares: Sequence[float]) -> str:
        """Markdown: a row a rule, four figures a share."""
        head = "| rule | " + " | ".join(f"{share:.0%}: F1 | worst | SHD | error" for share in shares) + " |"
        lines = [head, "|---" * (1 + 4 * len(shares)) + "|"]
        for rule in _RULES:
            cells = []
            for share in shares:
                nights = self.of(world, share, rule)
                if any(night.refused for night in nights):
                    cells += ["-"] * 4
                    continue
                f1, shd = [n.score.f1 for n in nights], [n.score.shd for n in nights]
                error = [min(n.score.effect_error, 1.0) for n in nights]
                cells += [f"{np.mean(f1):.2f}", f"{min(f1):.2f}", f"{np.mean(shd):.1f}", f"{np.mean(error):.2f}"]
            lines.append(f"| {rule} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def detail(self, world: str, share: float) -> str:
        """Markdown: a row a rule, F1 / SHD / effect error an attack."""
        lines = ["| rule | nobody | " + " | ".join(ATTACKS) + " |", "|---" * (2 + len(ATTACKS)) + "|"]
        for rule in _RULES:
            nights = self.of(world, share, rule)
            if all(night.refused for night in nights):
                lines.append(f"| {rule} | " + " | ".join(["-"] * (1 + len(ATTACKS))) + " |")
                continue
            scores = [nights[0].honest, *(night.score for night in nights)]
            lines.append(f"| {rule} | " + " | ".join(f"{s.f1:.2f} / {s.shd} / {min(s.effect_error, 99):.2f}" for s in scores) + " |")
        return "\n".join(lines)


def measure(
    *, clients: int, worlds: Sequence[str] = WORLDS, shares: Sequence[float] = SHARES, seed: int = 0, progress: Callable[[str], None] | None = None
) -> Table:
    """Play everything. progress: told each world, share and rule as it begins."""
    table = Table(clients=clients)
    for world in worlds:
        for share in shares:
            for rule in _RULES:
                if progress is not None:
                    progress(f"{world} {share:.0%} {rule}")
                for attack in ATTACKS:
                    simulation = Simulation(clients=clients, byzantine=share, attack=attack, rule=rule, world=world, seed=seed)
                    table.nights[world, share, rule, attack] = next(iter(simulate(simulation)))
    return table
