"""docs/robustness.md: the tables with what they mean, written by `hyperfed simulate --table docs/robustness.md`."""

from pathlib import Path

from hyperfed.packets import PolicyPack
from hyperfed.testing.simulator.table import SHARES, Table, measure

__all__ = ["write_page"]

_TITLES = {
    "demo": "Real data: the 48 US states of the demonstration (the truth is what all of them say together when nobody lies)",
    "sem": "A linear SEM with known truth: 10 variables, lag 0, clients that differ",
    "var": "A VAR(2) with known truth: 5 variables, lags 1 and 2, clients that differ",
}


def write_page(path: Path, *, seed: int = 0) -> list[tuple[str, float, float]]:
    """Measure everything, write the page, and return the ranking (rule, mean F1, mean effect error), best first."""
    large = measure(clients=48, seed=seed)
    small = measure(clients=16, worlds=("sem", "var"), shares=(0.1, 0.2, 0.3), seed=seed)
    path.write_text(_page(large, small), encoding="utf-8")
    return large.ranking()


def _page(large: Table, small: Table) -> str:
    ranking, default = large.ranking(), PolicyPack().rule
    order = [rule for rule, _, _ in ranking]
    winner = order[0]
    parts = [
        "# How robust each rule is",
        "",
        "Made by `hyperfed simulate --table docs/robustness.md`; everything follows from the seed. A single cell: `hyperfed simulate --world demo",
        "--clients 48 --byzantine 0.3 --attack alie --rule multi-krum --nights 1`.",
        "",
        "48 clients, of which 10, 20 or 30 % lie. Liars collude and see everything honest clients send before they choose",
        "(`hyperfed.testing.attackers`). Each rule is told the true number of liars; mean bears none and is told none. `F1`: of signed edges, mean over",
        "13 attacks; `worst`: the worst attack's; `SHD`: edges missing, too many or of the wrong sign, mean; `error`: of the effects, relative, 1 is an",
        "empty model, mean. `-`: the rule refuses so many liars among so few clients (bulyan needs 4f + 3; mda and smea take at most 20 clients).",
        "`adaptive` needs claimed losses and bears no fault; it is not in the tables.",
        "",
        "## Who wins",
        "",
        "| place | rule | mean F1 | mean effect error |\n|---|---|---|---|",
        *(f"| {place} | {rule} | {f1:.3f} | {error:.3f} |" for place, (rule, f1, error) in enumerate(ranking, 1)),
        "",
        _verdict(winner, default, order),
    ]
    for world, title in _TITLES.items():
        parts += ["", f"## {title}", "", large.summary(world, SHARES), "", "At 30 %, attack by attack: F1 / SHD / effect error.", "", large.detail(world, 0.3)]
    parts += ["", "## Sixteen clients, where MDA and SMEA can search"]
    for world in ("sem", "var"):
        parts += ["", f"World `{world}`:", "", small.summary(world, (0.1, 0.2, 0.3))]
    parts += [
        "",
        "## What this does not show",
        "",
        "No rule finds liars that are the majority, or a lie inside the honest spread. None carries a privacy label: a robust rule's result is an exact",
        "function of the updates, and asking for both is refused. The attacks are those of the literature that each attack's file cites, not every",
        "attack there is.",
    ]
    return "\n".join(parts) + "\n"


def _verdict(winner: str, default: str, order: list[str]) -> str:
    if winner == default:
        return f"The default is the winner: `{default}`."
    place = order.index(default) + 1
    return (
        f"`{winner}` wins where the number of liars is known and stated; `PolicyPack(rule={winner!r}, f=...)` chooses it. The default,\n"
        f"`{default}`, is number {place}: it is told no number, leaves nobody out on a night when nobody lies, and takes time and memory in\n"
        "proportion to the rows where distance-based rules take the square of the clients. On weak real data a third of liars that agree with each\n"
        f"other and are sure of everything can outvote it: where that is to be feared, state f and use `{winner}`."
    )
