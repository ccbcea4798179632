"""Make the golden night of central noise on a secure sum again: `python -m
tests.vectors.make_central_sums`.

The plan's grid and charge, two clients' whole steps, their sum, and the noised sum by a seed that
the file names. `sealed` is a helper's sealed answer: it holds fresh randomness, so that it is made
once and kept.
"""

import hashlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.opening_objects import OpeningSums
from hyperfed.dropbox.openings import signed_part
from hyperfed.packets import PolicyPack, SumsPolicy
from hyperfed.privacy.moments import moment_count, plan_moments
from hyperfed.privacy.noise_source import SeededNoise
from hyperfed.secure_aggregation.noised_statistics import (
    clipped_vector,
    noised_sum_of,
    noised_total,
)
from hyperfed.statistics.clipped import clipped_statistics
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import key_of

GOLDEN = Path(__file__).parent / "secure_sums" / "central-1.json"
NAMES, LAGS, NORM = ("heat", "load"), (1,), 3.0
SEED, FREEZE = (hashlib.sha256(name).digest() for name in (b"seed", b"freeze"))
HELPER, COORDINATOR = (key_of(f"golden central night/{name}") for name in ("help-1", "coordinator"))
ROWS = {
    "ward-1": [[((3 * i) % 7 - 3) / 2, ((5 * i) % 11 - 5) / 4] for i in range(12)],
    "ward-2": [[((4 * i) % 9 - 4) / 2, ((2 * i) % 5 - 2) * 3.0] for i in range(15)],
}


def policy() -> PolicyPack:
    return PolicyPack(
        payload="statistics",
        lags=LAGS,
        strategy="mean",
        trust_min=0.0,
        max_staleness=0,
        organisation_cap=0.0,
        aggregation="secure-sum",
        privacy="central",
        privacy_epsilon=Decimal(1),
        statistics=SumsPolicy(row_norm=NORM, centring="public"),
    )


def golden() -> dict[str, Any]:
    """The file's content, without the sealed answer."""
    vocabulary, planned = Vocabulary.of(*NAMES), plan_moments(policy(), len(NAMES))
    moments, messages = moment_count(len(NAMES), LAGS), {}
    for client, rows in ROWS.items():
        one = clipped_statistics(
            rows,
            names=NAMES,
            vocabulary=vocabulary,
            lags=LAGS,
            row_norm=NORM,
            grid=planned.bound,
            centring="public",
        )
        messages[client] = clipped_vector(one, planned, moments=moments, cohort=2, subject=client)
    total = np.asarray(sum(messages.values()), dtype=np.uint64)
    noised = noised_total(total, planned, SeededNoise(SEED, FREEZE))
    released = noised_sum_of(noised, planned, clients=2, variables=len(NAMES), lags=LAGS)
    charge = planned.mechanism
    return {
        "variables": list(NAMES),
        "lags": list(LAGS),
        "row_norm": NORM,
        "grid": planned.bound,
        "charge": {name: getattr(charge, name) for name in ("sigma", "sensitivity", "place")}
        | {"epsilon": str(charge.epsilon), "delta": str(charge.delta)},
        "rows": ROWS,
        "numbers": {client: words.view(np.int64).tolist() for client, words in messages.items()},
        "total": total.view(np.int64).tolist(),
        "seed": SEED.hex(),
        "freeze": FREEZE.hex(),
        "noised": noised.view(np.int64).tolist(),
        "released": {"rows": released.n, "moments": released.moments.tolist()},
    }


def sealed() -> str:
    """A helper's answer, sealed to the coordinator: fresh bytes in every call."""
    answer = OpeningSums(
        federation="trial",
        round=12,
        helper="help-1",
        manifest=hashlib.sha256(b"manifest").digest(),
        payload="statistics",
        sums=np.arange(6, dtype=np.uint64) << np.uint64(60),
    )
    return signed_part(
        answer,
        PacketType.OPENING,
        sender="help-1",
        key_pair=HELPER,
        now=datetime(2026, 1, 2, tzinfo=UTC),
        recipients=(COORDINATOR.public,),
    ).hex()


def text(kept: str) -> str:
    return json.dumps(golden() | {"sealed": kept}, indent=1) + "\n"


if __name__ == "__main__":
    there = json.loads(GOLDEN.read_text())["sealed"] if GOLDEN.exists() else sealed()
    GOLDEN.write_text(text(there))
