"""Play private rounds of statistics: which F1 a round's epsilon gives, at how many rows.

1. 16 clients share the rows of a VAR(1) of 6 variables, whose rows are clipped to norm `CLIP`.
   Delta is 1e-5, the unit one row. The coordinator adds the noise; with local noise, each client
   does.
2. Every round is the library's own: clip, whole numbers, discrete Gaussian noise, the engine on the
   noised sum, and the default cut of signed edges at half.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from hyperfed.client_agent import statistics_update
from hyperfed.coordinator.federation import FederationCoordinator
from hyperfed.packets import PolicyPack, SumsPolicy
from hyperfed.privacy.moments import noised_statistics, plan_moments
from hyperfed.registry.registry import Budget
from hyperfed.simulator.evidence.linear_worlds import f1_of, var_world
from hyperfed.simulator.evidence.pictures import lines_svg, mean_and_error
from hyperfed.simulator.evidence.pooled_rows import edges_of
from hyperfed.statistics.clipped import clipped_statistics

__all__ = ["CLIP", "EPSILONS", "PRIVATE_PICTURE", "filled_private", "measure_private", "picture"]

EPSILONS = (1, 2, 4, 8, 16)
"""What a night asks for."""
ROWS = (500, 2_000, 8_000)
"""The rows of all clients together."""
CLIP = 4.0
"""The norm of a row, in standard deviations of the noise that drives a variable."""
CLIENTS = 16
PRIVATE_PICTURE = "sums-private.svg"
_WAYS = {
    "public centre": ("central", "public"),
    "own means": ("central", "client"),
    "public centre, local noise": ("local", "public"),
}
_BEGIN, _END = "<!-- made: private -->", "<!-- end -->"

Cells = Sequence[dict[str, Any]]


def play_private(rows: int, epsilon: int, way: str, seed: int) -> float:
    """Return the F1 of one private round."""
    place, centring = _WAYS[way]
    rng = np.random.default_rng([seed, rows])
    world = var_world(rng)
    policy = PolicyPack(
        payload="statistics",
        privacy=place,
        privacy_epsilon=Decimal(epsilon),
        strategy="mean",
        trust_min=0.0,
        max_staleness=0,
        lags=world.lags,
        vote_min=0.5,
        statistics=SumsPolicy(row_norm=CLIP, centring=centring),
    )
    night = plan_moments(policy, len(world.names))
    budget = Budget(epsilon=Decimal(1000), delta=Decimal("0.001"), unit="record")
    coordinator = FederationCoordinator(policy=policy, vocabulary=world.vocabulary, budget=budget)
    for client in range(CLIENTS):
        one = clipped_statistics(
            world.sample(rows // CLIENTS, rng),
            names=world.names,
            vocabulary=world.vocabulary,
            lags=world.lags,
            row_norm=CLIP,
            grid=night.bound,
            centring=centring,
        )
        if place == "local":
            one = noised_statistics(one, night)
        coordinator.handle_update(f"site-{client:03d}", statistics_update(one))
    model = coordinator.aggregate()
    return f1_of(edges_of(world, model.edges, model.evidence.edges.vote), world.edges)


def measure_private(
    seeds: Sequence[int], *, progress: Callable[[str], None] = lambda said: None
) -> list[dict[str, Any]]:
    """Play every round, and return one cell for each number of rows, way and epsilon."""
    cells = []
    for rows in ROWS:
        for way in _WAYS:
            for epsilon in EPSILONS:
                f1 = [round(play_private(rows, epsilon, way, seed), 4) for seed in seeds]
                cells.append({"rows": rows, "way": way, "epsilon": epsilon, "f1": f1})
            progress(f"{rows} rows, {way}: {[cell['f1'] for cell in cells[-len(EPSILONS) :]]}")
    return cells


def picture(cells: Cells) -> str:
    """Return the picture: F1 over epsilon, a line for each number of rows and centring."""
    lines: dict[str, dict[int, Sequence[float]]] = {}
    for cell in cells:
        if cell["way"] != "public centre, local noise":
            name = f"{cell['rows']:,} rows, {cell['way']}"
            lines.setdefault(name, {})[cell["epsilon"]] = cell["f1"]
    return lines_svg(
        "Private sums of a VAR, 16 clients, delta 1e-5: F1", lines, axis="epsilon of a night"
    )


def filled_private(page: str, cells: Cells) -> str:
    """Return the page with its table of private rounds made anew."""
    before, _, rest = page.partition(_BEGIN)
    after = rest.partition(_END)[2]
    rows = ["| rows | centring | " + " | ".join(f"epsilon {e}" for e in EPSILONS) + " |"]
    rows.append("|---" * (2 + len(EPSILONS)) + "|")
    for count in ROWS:
        for way in _WAYS:
            said = []
            for epsilon in EPSILONS:
                found = [
                    cell["f1"]
                    for cell in cells
                    if (cell["rows"], cell["way"], cell["epsilon"]) == (count, way, epsilon)
                ]
                mean, error = mean_and_error(found[0])
                said.append(f"{mean:.2f} ± {error:.2f}".replace("0.", "."))
            rows.append(f"| {count:,} | {way} | " + " | ".join(said) + " |")
    table = "\n".join(rows)
    return f"{before}{_BEGIN}\n\n{table}\n\n{_END}{after}"
