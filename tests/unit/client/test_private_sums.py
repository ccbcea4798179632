"""What a client makes of its file in a private round of statistics, and says of it."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from hyperfed.client.finding import discover
from hyperfed.client.moments import statistics_words
from hyperfed.client.noised import before_noise
from hyperfed.client.sources import Source
from hyperfed.errors import ConfigError, EngineError
from hyperfed.packets import PolicyPack, SumsPolicy
from hyperfed.privacy.moments import plan_moments
from hyperfed.protocol.objects import Plan
from hyperfed.registry.registry import Budget
from hyperfed.statistics.clipped import clipped_statistics
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation
from hyperfed.validator.policy import check_against_policy

pytestmark = pytest.mark.unit

NAMES = ("heat", "load")
POLICY = PolicyPack(
    payload="statistics",
    privacy="local",
    privacy_epsilon=Decimal(2),
    strategy="mean",
    trust_min=0,
    max_staleness=0,
    lags=(1,),
    statistics=SumsPolicy(row_norm=2.0, centring="public"),
)


def plan() -> Plan:
    fed = SmallFederation(
        policy=POLICY,
        vocabulary=Vocabulary.of(*NAMES),
        budget=Budget(epsilon=Decimal(9), unit="record"),
    )
    return fed.open(1).value


def file(folder: Path, data: np.ndarray) -> Source:
    path = folder / "tonight.csv"
    lines = [",".join(NAMES)] + [",".join(map(repr, row)) for row in data.tolist()]
    path.write_text("\n".join(lines) + "\n")
    return Source(kind="series", file=path, series=True)


def test_a_file_becomes_clipped_moments_that_fit_the_plan(tmp_path: Path) -> None:
    asked, data = plan(), np.random.default_rng(0).normal(size=(60, 2))
    found = discover(file(tmp_path, data), asked, "site-01")
    assert found.update.statistics == clipped_statistics(
        data,
        names=NAMES,
        vocabulary=asked.vocabulary,
        lags=(1,),
        row_norm=2.0,
        grid=plan_moments(POLICY, 2).bound,
        centring="public",
    )
    check_against_policy(found.update, before_noise(asked), subject="update")
    assert found.statistics is not None
    assert "clipped to the plan's norm" in statistics_words(dict(found.statistics))["Statistics"]


def test_missing_cells_and_experiments_have_no_place_in_a_private_sum(tmp_path: Path) -> None:
    asked, data = plan(), np.random.default_rng(1).normal(size=(60, 2))
    with pytest.raises(ConfigError, match="no place for"):
        discover(replace(file(tmp_path, data), intervened=("heat",)), asked, "site-01")
    data[7, 1] = np.nan
    with pytest.raises(EngineError, match="missing or infinite"):
        discover(file(tmp_path, data), asked, "site-01")
