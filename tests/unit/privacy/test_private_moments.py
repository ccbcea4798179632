"""The noise of private sums: charged for what a row does, seen by an observer, told by tests."""

import math
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from hyperfed.engines.summed import SummedVar
from hyperfed.engines.summed.graphs import SummedGes
from hyperfed.engines.summed.independence import independence_p
from hyperfed.errors import EngineError, PrivacyError
from hyperfed.packets import PolicyPack, SumsPolicy
from hyperfed.privacy.discrete_gaussian import discrete_gaussian
from hyperfed.privacy.mechanisms import PlannedRelease
from hyperfed.privacy.moments import (
    is_noised_sum,
    noised_statistics,
    plan_moments,
    released_sum,
    step_of,
)
from hyperfed.privacy.rdp import rdp_epsilon
from hyperfed.statistics import Statistics
from hyperfed.statistics.clipped import clipped_moments, clipped_statistics, reach
from hyperfed.statistics.noise import coefficient_noise, definite, noised_sums, partial_noise
from hyperfed.tables.vocabulary import Vocabulary
from tests.unit.privacy.seen_epsilon import epsilon_seen

pytestmark = pytest.mark.unit

C = 2.0
ONE = Vocabulary.of("a")
DELTA = Decimal("0.01")


def policy(
    *, place: str = "central", centring: str = "public", epsilon: str = "1", engine: str = "var"
) -> PolicyPack:
    return PolicyPack(
        payload="statistics",
        privacy=place,
        privacy_epsilon=Decimal(epsilon),
        privacy_delta=DELTA,
        strategy="mean",
        trust_min=0,
        max_staleness=0,
        lags=(1,) if engine == "var" else (0,),
        statistics=SumsPolicy(row_norm=C, centring=centring, engine=engine),
    )


def made(rows: np.ndarray, planned: PlannedRelease, asked: PolicyPack) -> Statistics:
    return clipped_statistics(
        rows,
        names=ONE.names,
        vocabulary=ONE,
        lags=asked.lags,
        row_norm=C,
        grid=planned.bound,
        centring=asked.statistics.centring,
    )


@pytest.mark.parametrize("centring", ["public", "client"])
@pytest.mark.parametrize("place", ["central", "local"])
def test_a_night_is_charged_for_what_one_row_does(place: str, centring: str) -> None:
    asked = policy(place=place, centring=centring)
    for variables in (1, 6, 40):
        night = plan_moments(asked, variables)
        noise, width = night.mechanism, 2 * variables
        truncation = math.sqrt(width * (width + 1) / 2)
        exact = night.bound * math.sqrt(reach((1,), centring)) + truncation
        assert exact <= noise.sensitivity <= exact + 2
        assert (noise.unit, noise.place, noise.relation) == ("record", place, "zero-out")
        charged = rdp_epsilon(Fraction(noise.sensitivity**2, 2 * noise.sigma**2), DELTA)
        assert night.epsilon == charged
        assert 1 < charged < Decimal("1.25")  # the analytic formula says 1 of continuous noise
        assert night.noise_std == pytest.approx(noise.sigma * C**2 / night.bound)


def test_too_many_moments_or_too_much_noise_are_refused() -> None:
    with pytest.raises(PrivacyError, match="can be noised"):
        plan_moments(policy(), 2000)
    with pytest.raises(PrivacyError, match="grid"):
        plan_moments(
            replace(policy(), privacy_epsilon=Decimal("0.001"), privacy_delta=Decimal("1e-9")), 6
        )


def seen(planned: PlannedRelease, grid: int, *, runs: int = 8_000) -> float:
    """The epsilon that the best single number of released sums proves, of the worst two data sets.

    grid: the steps of a squared clip that the release really uses.
    """
    rows, at = np.full((9, 1), C), 4
    without = rows.copy()
    without[at] = 0.0
    first, second = (
        clipped_moments(one, lags=(1,), row_norm=C, grid=grid, centring="public")
        for one in (rows, without)
    )
    along = (first - second) / np.linalg.norm(first - second)
    noise = discrete_gaussian(planned.mechanism.sigma, 2 * runs * len(along)).reshape(2, runs, -1)
    return epsilon_seen((first + noise[0]) @ along, (second + noise[1]) @ along, float(DELTA))


def test_an_observer_of_many_sums_stays_within_epsilon_and_sees_a_wrong_reach() -> None:
    planned = plan_moments(policy(), 1)
    assert 0.3 < seen(planned, planned.bound) <= float(planned.epsilon)
    # a release that took half the reach: its grid is twice as fine, and a row moves twice as far
    assert seen(planned, 2 * planned.bound) > float(planned.epsilon)


def test_central_and_local_noise_are_as_large_as_said() -> None:
    rows = {f"site-{i}": np.full((12, 1), C) for i in range(40)}
    for place in ("central", "local"):
        asked = policy(place=place)
        planned = plan_moments(asked, 1)
        exact = {client: made(one, planned, asked) for client, one in rows.items()}
        sent = exact
        if place == "local":
            sent = {client: noised_statistics(one, planned) for client, one in exact.items()}
            drawn = np.array([sent[c].moments - exact[c].moments for c in exact]) / step_of(planned)
            assert 0.7 < drawn.std() / planned.mechanism.sigma < 1.3
            with pytest.raises(PrivacyError, match="clipped rows"):
                noised_statistics(sent["site-0"], planned)
            with pytest.raises(PrivacyError, match="of the form noised"):
                released_sum(exact, planned)
        summed, std = released_sum(sent, planned)
        assert std == pytest.approx(planned.noise_std * (1 if place == "central" else 40**0.5))
        difference = summed.moments - sum(one.moments for one in exact.values())
        assert 0 < np.abs(difference).max() < 6 * std
        assert (summed.n, summed.form) == (40 * 11, "noised")
        assert is_noised_sum(summed, sent, planned)
        assert not is_noised_sum(replace(summed, n=summed.n - 1), sent, planned)
        others = {client: one for client, one in sent.items() if client != "site-0"}
        assert not is_noised_sum(replace(summed, n=39 * 11), others, planned) or place == "central"


def test_noise_in_coefficients_and_partial_correlations_is_as_large_as_said() -> None:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(5, 5))
    matrix, std, runs = root @ root.T + 3 * np.eye(5), 0.02, 4000
    draw = np.triu(rng.normal(size=(runs, 5, 5)) * std)
    noise = draw + np.triu(draw, 1).transpose(0, 2, 1)
    noised = matrix + noise
    beta = np.linalg.solve(matrix[:4, :4], matrix[:4, 4])
    betas = np.linalg.solve(noised[:, :4, :4], noised[:, :4, 4:])[..., 0]
    said = coefficient_noise(matrix[:4, :4], beta, std)
    assert betas.std(axis=0) == pytest.approx(said, rel=0.06)
    # a pair that is independent given the others
    spread = np.linalg.inv(matrix)
    spread[0, 1] = spread[1, 0] = 0.0
    apart = np.linalg.inv(spread)
    scale = np.sqrt(apart.diagonal())
    inverse = np.linalg.inv(apart + noise)
    r = -inverse[:, 0, 1] / np.sqrt(inverse[:, 0, 0] * inverse[:, 1, 1])
    correlation = apart / np.outer(scale, scale)
    variance = partial_noise(np.linalg.inv(correlation), std / np.outer(scale, scale))
    assert r.std() == pytest.approx(math.sqrt(variance), rel=0.06)
    degrees = np.full((5, 5), 1e9)
    p = independence_p(correlation, degrees, 0, 1, [2, 3, 4], std / np.outer(scale, scale))
    assert p == pytest.approx(1.0)


def test_a_noised_sum_is_made_positive_definite() -> None:
    rng = np.random.default_rng(4)
    root = rng.normal(size=(8, 3))
    draw = np.triu(rng.normal(size=(8, 8)))
    mended, raised = definite(root @ root.T + draw + np.triu(draw, 1).T, 1.0)
    assert raised
    assert np.linalg.eigvalsh(mended)[0] == pytest.approx(math.sqrt(8), abs=1e-6)
    assert definite(np.eye(3), 0.1)[1] is False


def walk(rng: np.random.Generator, rows: int) -> np.ndarray:
    y, noise = np.zeros((rows, 3)), rng.normal(size=(rows, 3))
    for t in range(1, rows):
        y[t] = noise[t] + 0.3 * y[t - 1]
        y[t, 1] += 0.5 * y[t - 1, 0]
    return y


def test_intervals_hold_the_truth_though_noise_is_larger_than_sampling() -> None:
    """One series under 60 noises: without the noise's share many intervals would miss."""
    names = Vocabulary.of("a", "b", "c")
    data = walk(np.random.default_rng(5), 4000)
    rows = data[1:], data[:-1]
    exact = np.concatenate(rows, axis=1)
    exact -= exact.mean(axis=0)
    moments = exact.T @ exact
    best = np.linalg.solve(moments[3:, 3:], moments[3:, :3])
    std, hits, plain, runs = 200.0, 0, 0, 60
    rng = np.random.default_rng(6)
    for _ in range(runs):
        noised = moments[np.triu_indices(6)] + std * rng.normal(size=21)
        one = Statistics(
            variables=np.arange(3), lags=(1,), n=len(exact), moments=noised, form="noised"
        )
        for given in (std, 1e-9):
            sums = noised_sums(one, variables=3, clients=1, std=given)
            table = SummedVar(sums, names).discover().to_edges(names)[1]
            assert table.ci_low is not None
            assert table.ci_high is not None
            truth = best[table.source, table.target]
            held = int(((table.ci_low <= truth) & (truth <= table.ci_high)).sum())
            hits, plain = (hits + held, plain) if given == std else (hits, plain + held)
    # around what the rows say, sampling is no error: at least 95 % are expected
    assert hits / (9 * runs) > 0.95
    assert plain / (9 * runs) < 0.9


def test_ges_refuses_a_noised_sum() -> None:
    one = Statistics(
        variables=np.arange(2), lags=(0,), n=500, moments=np.array([500.0, 100, 500]), form="noised"
    )
    with pytest.raises(EngineError, match="knows nothing of the noise"):
        SummedGes(
            noised_sums(one, variables=2, clients=2, std=1.0), Vocabulary.of("a", "b")
        ).discover()
