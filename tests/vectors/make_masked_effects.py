"""Make the golden night of masked effects again: `python -m tests.vectors.make_masked_effects`.

Plans of both units with their grids and charges; two clients' effects, the numbers that they mask
with a share of noise each, the opened sum, and what is released of it. Noise is no part of what
another implementation can make again, so that its shares stand in the file.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from hyperfed.packets import PolicyPack
from hyperfed.privacy.policy import release_of
from hyperfed.privacy.release import opened_means
from hyperfed.registry.registry import Budget
from hyperfed.secure_aggregation.noised_effects import effects_sum_of, effects_vector, longest_sum
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary

GOLDEN = Path(__file__).parent / "secure_sums" / "effects-1.json"
NAMES, LAGS, SHARES, LEFT = ("heat", "load", "wear"), (0, 1), 12, 14
PLANS = {"client": (Decimal(4), 0.0), "record": (Decimal(1), 0.02)}
EFFECTS = {
    "ward-1": [("heat", "load", 1, 0.3), ("load", "wear", 0, -0.4)],
    "ward-2": [("heat", "load", 1, 3.0), ("wear", "wear", 1, 4.0)],
}


def table(rows: list[tuple[str, str, int, float]]) -> EdgeTable:
    source, target, lag, effect = zip(*rows, strict=True)
    return EdgeTable.build(
        source=[NAMES.index(name) for name in source],
        target=[NAMES.index(name) for name in target],
        lag=list(lag),
        effect=list(effect),
        confidence=1.0,
        stability=1.0,
        hits=1,
        n=1,
    )


def night(unit: str) -> dict[str, Any]:
    """Return a night of a unit: plan, messages, sum and means."""
    epsilon, bound = PLANS[unit]
    vocabulary = Vocabulary.of(*NAMES)
    policy = PolicyPack(
        lags=LAGS,
        strategy="mean",
        trust_min=0.0,
        max_staleness=0,
        organisation_cap=0.0,
        aggregation="secure-sum",
        privacy="shares",
        privacy_epsilon=epsilon,
        noise_shares=SHARES,
        record_bound=bound,
    )
    planned = release_of(policy, vocabulary, Budget(unit=unit), shares=LEFT)
    assert planned is not None
    charge, messages = planned.mechanism, {}
    for seed, (client, rows) in enumerate(EFFECTS.items()):
        edges = table(rows)
        words, alone = (
            effects_vector(
                one,
                planned,
                vocabulary=vocabulary,
                lags=LAGS,
                cohort=20,
                subject=client,
                random_bytes=np.random.default_rng(seed).bytes,
            ).view(np.int64)
            for one in (edges, edges.take(np.zeros(len(edges), dtype=bool)))
        )
        messages[client] = {
            "effects": rows,
            "steps": (words - alone).tolist(),
            "noise": alone.tolist(),
            "numbers": words.view(np.uint64).tolist(),
        }
    total = np.zeros(charge.numbers, dtype=np.uint64)
    for message in messages.values():
        total += np.array(message["numbers"], dtype=np.uint64)
    steps = effects_sum_of(total, planned, clients=2)
    means = opened_means(steps, planned, clients=2, vocabulary=vocabulary, lags=LAGS)
    return {
        "epsilon": str(epsilon),
        "clip_norm": planned.clip_norm,
        "record_bound": bound,
        "grid": planned.bound,
        "charge": {
            name: getattr(charge, name) for name in ("sigma", "sensitivity", "shares", "numbers")
        }
        | {"epsilon": str(charge.epsilon), "delta": str(charge.delta)},
        "messages": messages,
        "sum": steps.tolist(),
        "means": means.mean.tolist(),
        "std": means.std,
        "cut": means.cut,
        "longest": longest_sum(planned, clients=2, numbers=charge.numbers),
    }


def golden() -> dict[str, Any]:
    return {
        "variables": list(NAMES),
        "lags": list(LAGS),
        "noise_shares": SHARES,
        "nights": {unit: night(unit) for unit in PLANS},
    }


def text() -> str:
    return json.dumps(golden(), indent=1) + "\n"


if __name__ == "__main__":
    GOLDEN.write_text(text())
