"""Compare bounded trust with the rule that ADR 0035 replaced, on seeds that chose neither.

    python benchmarks/trust_rules.py play FILE    # one JSON line a row; goes on where it ended
    python benchmarks/trust_rules.py page FILE    # the table of docs/statistics.md

1. Both rules see the same data, the same liars, the same lies and the same pooling. Only the
   clients' weights differ.
2. A row is a world, a number of clients, a share of liars and their voice. Its figures are means
   over all attacks, and a row has ten seeds. Differences are paired by seed.
3. The constants of the rule were chosen with seeds 0 to 99. The seeds here are 1000 to 1009.
"""

import argparse
import json
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from hyperfed.aggregation.loudness import attention
from hyperfed.hypergraph.graph import HypergraphStore
from hyperfed.merge.ranges import Measure, Ranges
from hyperfed.merge.student_t import t_two_sided
from hyperfed.reconciler.reconcile import StoreReconciler
from hyperfed.simulator.attackers import ATTACKS
from hyperfed.simulator.run import attacked_graphs
from hyperfed.simulator.score import kept, score
from hyperfed.simulator.worlds import WORLDS, build_world

# the package gives functions of these names
bounded_trust = import_module("hyperfed.aggregation.bounded_trust")
edge_weights = import_module("hyperfed.aggregation.edge_weights")

PAGE = Path(__file__).parents[1] / "docs" / "statistics.md"
SEEDS = range(1000, 1010)
CLIENTS = (8, 12, 20, 48)
SHARES = (0.1, 0.2, 0.3)
FIGURES = ("F1", "SHD", "effect error", "kept")
BETTER = {"F1": 1, "SHD": -1, "effect error": -1, "kept": 1}
"""Whether more of a figure is better, or less."""


def old_trust_of(
    ranges: Ranges, *, shares: Any = None, samples: Any = None, groups: Any = None
) -> Any:
    """Return the trust by agreement alone (ADR 0013): whole at the median, 0 at 3 MAD below it."""
    clients = ranges.eligible_voters.clients
    measured = bounded_trust._Measured(clients=clients)
    for part in ranges.map(Measure()):
        measured.add(part)
    codes, _ = bounded_trust.distinct(np.concatenate([np.zeros(0, np.int64), *measured.codes]))
    comparable, contested = bounded_trust._contested(ranges.eligible_voters, codes)
    ballot = bounded_trust._RoundBallot(ranges, codes, contested, measured)
    heard = np.ones(clients)
    heard[comparable] = attention(ballot.size[comparable])
    weight, agreement = heard, np.zeros(clients)
    for _ in range(bounded_trust.ITERATIONS):
        agreement = ballot.agreement(weight)
        weighed = np.where(agreement > 0, agreement * heard, agreement)
        weight = np.minimum(bounded_trust.trust_weights(weighed, comparable), heard)
    return bounded_trust.Trust(
        weight=weight,
        agreement=agreement,
        comparable=comparable,
        size=ballot.size,
        assessed=comparable,
    )


RULES = {"new": bounded_trust.trust_of, "old": old_trust_of}


def merged(rule: str, graphs: dict[str, HypergraphStore]) -> HypergraphStore:
    """Return the model of these graphs, weighed by the new or the old rule."""
    with patch.object(edge_weights, "trust_of", RULES[rule]):
        return StoreReconciler().reconcile(graphs.values(), client_ids=list(graphs))


def federation(world_name: str, clients: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of a federation: each share of liars and voice, both rules."""
    world = build_world(world_name, clients=clients, seed=seed)
    ids = sorted(world.graphs)
    honest = {client: world.graphs[client] for client in ids}
    twin = {rule: merged(rule, honest) for rule in RULES}
    for share in SHARES:
        count = int(share * clients)
        if not count:
            continue
        liars = np.random.default_rng([seed, count]).permutation(np.array(ids))[:count].tolist()
        for voice in ("loud", "quiet"):
            found: dict[str, list[list[float]]] = {rule: [] for rule in RULES}
            for at, attack in enumerate(ATTACKS):
                rng = np.random.default_rng([seed, count, at])
                sent = attacked_graphs(honest, sorted(liars), attack, rng, quiet=voice == "quiet")
                for rule in RULES:
                    model = merged(rule, sent)
                    against = score(model, world)
                    found[rule].append(
                        [
                            against.f1,
                            against.shd,
                            min(against.effect_error, 1.0),
                            kept(model, twin[rule]),
                        ]
                    )
            yield {
                "world": world_name,
                "clients": clients,
                "share": share,
                "voice": voice,
                "seed": seed,
            } | {rule: np.mean(rows, axis=0).tolist() for rule, rows in found.items()}


def play(file: Path) -> None:
    """Play what the file does not have yet, small federations first."""
    lines = file.read_text().splitlines() if file.exists() else []
    done = {(row["world"], row["clients"], row["seed"]) for row in map(json.loads, lines)}
    for seed in SEEDS:
        for clients in CLIENTS:
            for world in WORLDS:
                if (world, clients, seed) in done:
                    continue
                rows = [json.dumps(row) for row in federation(world, clients, seed)]
                with file.open("a") as out:
                    out.write("".join(f"{row}\n" for row in rows))


def table(file: Path) -> list[str]:
    """Return the lines of the page: the sums, and each figure that is worse by two errors."""
    rows: dict[tuple[Any, ...], list[tuple[list[float], list[float]]]] = defaultdict(list)
    for line in file.read_text().splitlines():
        row = json.loads(line)
        at = (row["world"], row["clients"], row["share"], row["voice"])
        rows[at].append((row["new"], row["old"]))
    compared, better, tied, worse, sums = 0, 0, 0, [], []
    for at, pairs in rows.items():
        new, old = (np.array(part) for part in zip(*pairs, strict=True))
        gain = (new - old) * np.array([BETTER[name] for name in FIGURES])
        mean, error = gain.mean(axis=0), gain.std(axis=0, ddof=1) / np.sqrt(len(gain))
        sums.append((at, new.mean(axis=0), old.mean(axis=0)))
        for i, name in enumerate(FIGURES):
            compared += 1
            tied += bool((gain[:, i] == 0).all())
            better += bool(mean[i] > 2 * error[i])
            if mean[i] < -2 * error[i] and mean[i] < -1e-9:
                worse.append((at, name, new[:, i].mean(), old[:, i].mean(), mean[i] / error[i]))
    seeds = {len(pairs) for pairs in rows.values()}
    chance = float(t_two_sided(np.array([2.0]), np.array([min(seeds) - 1]))[0]) / 2
    lines = [
        f"{len(rows)} rows of at least {min(seeds)} seeds, {compared} figures, of which {tied} are "
        f"the same to the last digit: {better} are better by more than two paired standard errors, "
        f"and {len(worse)} worse. By chance it would be {chance * (compared - tied):.0f} each.",
        "",
        "| world | F1, new | F1, old | SHD, new | SHD, old | effect error, new | effect error, old "
        "| kept, new | kept, old |",
        "|---" * 9 + "|",
    ]
    for world in (*WORLDS, "all"):
        part = [(new, old) for at, new, old in sums if world in (at[0], "all")]
        new, old = (np.mean(side, axis=0) for side in zip(*part, strict=True))
        cells = [f"{new[i]:.3f} | {old[i]:.3f}" for i in range(len(FIGURES))]
        lines.append(f"| {world} | " + " | ".join(cells) + " |")
    if worse:
        lines += [
            "",
            "The figures that are worse:",
            "",
            "| world | clients | liars | voice | figure | new | old | standard errors |",
            "|---" * 8 + "|",
        ]
        lines += [
            f"| {at[0]} | {at[1]} | {at[2]:.0%} | {at[3]} | {name} | {new:.3f} | {old:.3f} | "
            f"{off:.1f} |"
            for at, name, new, old, off in sorted(worse)
        ]
    return lines


def write_page(file: Path) -> None:
    """Write the table between the page's markers."""
    before, rest = PAGE.read_text().split("<!-- made: trust -->\n", 1)
    _, after = rest.split("<!-- end -->", 1)
    first, *rest_of_it = table(file)
    body = "\n".join([*textwrap.wrap(first, 100), *rest_of_it])
    PAGE.write_text(f"{before}<!-- made: trust -->\n\n{body}\n\n<!-- end -->{after}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("play", "page", "print"))
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    if given.what == "play":
        play(given.file)
    elif given.what == "page":
        write_page(given.file)
    else:
        print("\n".join(table(given.file)))
