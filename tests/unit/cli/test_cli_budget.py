"""`hyperfed budget` and `hyperfed budget plan`: the numbers of the ledger, and plain words about
too few clients.
"""

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hyperfed.cli.app import app
from hyperfed.errors import ConfigError, PrivacyError
from hyperfed.packets import PolicyPack, SumsPolicy
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.policy import release_of, statement_of_moments
from hyperfed.registry.registry import Budget
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit


def box(folder: Path) -> FilesystemStore:
    (folder / "box").mkdir()
    return FilesystemStore(folder / "box")


def asked(*args: str) -> tuple[int, dict]:
    result = CliRunner().invoke(app, [*args, "--json"], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return int(result.return_value or 0), json.loads(result.output)


def test_a_ledger_with_two_private_nights_is_added_up(tmp_path: Path) -> None:
    fed = SmallFederation(
        store=box(tmp_path),
        policy=PolicyPack(privacy="central", strategy="mean", trust_min=0, max_lag=1),
    )
    fed.play(1)
    fed.play(2, but=())
    code, said = asked(
        "budget", "--store", f"file://{tmp_path / 'box'}", "--fingerprint", fed.fingerprint
    )
    assert code == 0
    assert (said["composition"], said["nights_left"], said["nights_left_if_continuous"]) == (
        "rdp",
        56,
        65,
    )
    assert [(r["round"], r["epsilon"], r["delta"], r["noise"]) for r in said["rounds"]] == [
        (1, "1.0926", "0.00001", "3.731"),
        (2, "1.0926", "0.00001", "3.731"),
    ]
    assert said["spent"]["share"] == pytest.approx(2 / 58.9, abs=1e-3)
    assert said["left_share"] == pytest.approx(1 - said["spent"]["share"])


def told(fed: SmallFederation, folder: Path) -> str:
    result = CliRunner().invoke(
        app,
        ["budget", "--store", f"file://{folder / 'box'}", "--fingerprint", fed.fingerprint],
        standalone_mode=False,
        env={"COLUMNS": "200"},
    )
    assert result.exception is None
    return result.output


def test_the_night_of_a_choice_costs_here_what_its_statement_says(tmp_path: Path) -> None:
    policy = PolicyPack(
        privacy="central",
        strategy="mean",
        trust_min=0,
        max_lag=1,
        discovery="selected",
        privacy_epsilon=Decimal(6),
        edges_per_client=3,
        clip_norm=0.5,
    )
    fed = SmallFederation(
        store=box(tmp_path), policy=policy, clients=12, budget=Budget(epsilon=Decimal(40))
    )
    fed.play(1)
    found = fed.reader().result(1)
    assert found is not None
    statement = found.value.privacy  # type: ignore[union-attr]
    _, said = asked(
        "budget", "--store", f"file://{tmp_path / 'box'}", "--fingerprint", fed.fingerprint
    )
    (row,) = said["rounds"]
    assert (Decimal(row["epsilon"]), Decimal(row["delta"])) == (statement.epsilon, statement.delta)
    assert row["kind"] == "choice of edges, central noise"
    assert said["nights_left"] == 9  # of the ten that half of delta pays the choice of
    assert said["left_share"] == pytest.approx(0.9)


def test_a_larger_budget_in_the_registry_is_refused(tmp_path: Path) -> None:
    fed = SmallFederation(
        store=box(tmp_path),
        policy=PolicyPack(privacy="local", strategy="mean", trust_min=0, max_lag=1),
    )
    fed.play(1)
    assert "noise their own messages, one a round" in told(fed, tmp_path)
    fed.amend(budget=Budget(epsilon=Decimal(20)))
    with pytest.raises(PrivacyError, match="epsilon from 10 to 20"):
        asked("budget", "--store", f"file://{tmp_path / 'box'}", "--fingerprint", fed.fingerprint)


def test_a_ledger_without_noise_has_spent_nothing(tmp_path: Path) -> None:
    fed = SmallFederation(store=box(tmp_path))
    fed.play(1)
    _, said = asked(
        "budget", "--store", f"file://{tmp_path / 'box'}", "--fingerprint", fed.fingerprint
    )
    assert (said["composition"], said["rounds"], said["nights_left"]) == ("nothing spent", [], None)


YEAR = (
    "budget",
    "plan",
    "--nights",
    "365",
    "--epsilon",
    "10",
    "--delta",
    "1e-4",
    "--clip",
    "1",
    "--variables",
    "4",
)


def test_twenty_hospitals_at_client_level_are_told_that_it_is_useless() -> None:
    code, said = asked(*YEAR, "--clients", "20")
    assert code == 1
    assert not said["useful"]
    assert said["verdict"].startswith("Useless: with 20 clients the noise hides everything")
    assert (round(said["multiplier"], 2), round(said["multiplier_pld"], 2)) == (9.29, 8.70)


def test_two_hundred_clients_see_something_and_records_of_twenty_do() -> None:
    assert asked(*YEAR, "--clients", "200")[1]["useful"]
    code, said = asked(*YEAR, "--clients", "20", "--record-bound", "0.02")
    assert code == 0
    assert said["useful"]


def test_local_noise_needs_many_more() -> None:
    central, local = (
        asked(*YEAR, "--clients", "200", "--place", place)[1] for place in ("central", "local")
    )
    assert local["clients_for_one_edge"] > 20 * central["clients_for_one_edge"]


@pytest.mark.parametrize(
    ("options", "unit"),
    [
        (("--variables", "4"), "client"),
        (("--variables", "4", "--record-bound", "0.02"), "record"),
        (("--variables", "4", "--place", "local"), "client"),
        (("--variables", "4", "--place", "shares", "--noise-shares", "400"), "client"),
        (
            ("--variables", "4", "--place", "shares", "--noise-shares", "9", "--record-bound", "1"),
            "record",
        ),
        (("--edges-per-client", "10"), "client"),
    ],
)
def test_the_policy_it_prints_lasts_as_long_as_it_says_and_not_much_longer(
    options: tuple[str, ...], unit: str
) -> None:
    code, said = asked(
        "budget",
        "plan",
        "--nights",
        "365",
        "--epsilon",
        "10",
        "--delta",
        "1e-4",
        "--clients",
        "500",
        *options,
    )
    policy = PolicyPack(**said["policy"])
    names = Vocabulary.of("a", "b", "c", "d")
    night = release_of(policy, names, Budget(unit=unit))
    assert night is not None
    fits = PrivacyAccountant(epsilon=Decimal(10), delta=Decimal("0.0001")).nights_left(
        night.mechanisms
    )
    assert 365 <= fits <= 372
    assert code == (1 if "local" in options else 0)


def test_noise_in_shares_is_planned_between_central_and_local_noise() -> None:
    """All 200 add a share, of which 150 are counted: 1.15 times the noise of a coordinator."""
    places = ("central",), ("shares", "--noise-shares", "150"), ("local",)
    central, shares, local = (
        asked(*YEAR, "--clients", "200", "--place", *place)[1] for place in places
    )
    assert shares["noise_std"] == pytest.approx(central["noise_std"] * (200 / 150) ** 0.5, rel=1e-3)
    assert shares["noise_std"] < local["noise_std"] / 10
    assert shares["policy"]["noise_shares"] == 150
    assert shares["clients_for_one_edge"] >= 151


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--place", "shares"), "noise is shares, in 0 shares"),
        (("--noise-shares", "9"), "noise is central, in 9 shares"),
        (("--place", "shares", "--noise-shares", "9", "--baskets", "2"), "2 baskets"),
        (("--place", "shares", "--noise-shares", "20"), "20 clients leave fewer than 20 shares"),
    ],
)
def test_shares_that_cannot_be_counted_on_are_not_planned(
    options: tuple[str, ...], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        asked(*YEAR, "--clients", "20", *options)


def test_baskets_and_discovery_are_planned_too() -> None:
    plain, four = (asked(*YEAR, "--clients", "200", "--baskets", n)[1] for n in ("1", "4"))
    assert four["noise_std"] == pytest.approx(2 * plain["noise_std"])
    assert four["basket_noise_std"] == pytest.approx(4 * plain["noise_std"])
    code, few = asked(
        "budget",
        "plan",
        "--nights",
        "10",
        "--epsilon",
        "10",
        "--delta",
        "1e-4",
        "--clients",
        "20",
        "--edges-per-client",
        "10",
    )
    assert code == 1
    assert few["verdict"].startswith(
        "Useless: an edge is chosen where about 36 clients name it, and there are 20."
    )
    with pytest.raises(ConfigError, match="either all noised or discovered"):
        asked(*YEAR, "--clients", "20", "--edges-per-client", "10")


@pytest.mark.parametrize(
    "bad",
    [
        ("--epsilon", "0"),
        ("--epsilon", "nan"),
        ("--delta", "-1"),
        ("--clients", "0"),
        ("--nights", "0"),
    ],
)
def test_numbers_that_are_none_are_refused(bad: tuple[str, str]) -> None:
    result = CliRunner().invoke(app, [*YEAR, "--clients", "20", *bad], standalone_mode=False)
    assert result.exception is not None


SUMS = (
    "budget",
    "plan",
    "--epsilon",
    "10",
    "--delta",
    "1e-4",
    "--clients",
    "20",
    "--variables",
    "6",
    "--row-norm",
    "3",
    "--rows",
    "20000",
)
SHARES = ("--place", "shares", "--noise-shares", "12")


def policy_of(said: dict) -> PolicyPack:
    """Return the policy that the command prints."""
    settings = said["policy"]
    return PolicyPack(
        **settings
        | {
            "privacy_epsilon": Decimal(settings["privacy_epsilon"]),
            "privacy_delta": Decimal(settings["privacy_delta"]),
            "lags": tuple(settings["lags"]),
            "statistics": SumsPolicy(**settings["statistics"]),
        }
    )


@pytest.mark.parametrize(
    "options", [(), ("--place", "local"), SHARES, ("--max-lag", "0", "--centring", "client")]
)
def test_a_policy_of_statistics_lasts_as_long_as_it_says(options: tuple[str, ...]) -> None:
    """Its noise is that of the round: what `release_of` gives, and what a statement says."""
    code, said = asked(*SUMS, "--nights", "365", *options)
    policy, names = policy_of(said), Vocabulary.of(*"abcdef")
    night = release_of(policy, names, Budget(unit="record"))
    assert night is not None
    empty = PrivacyAccountant(epsilon=Decimal(10), delta=Decimal("0.0001"))
    assert 365 <= said["nights"] == empty.nights_left(night.mechanisms) <= 372
    assert Decimal(said["epsilon_a_night"]) == night.epsilon
    statement = statement_of_moments(
        policy, night, vocabulary=names, clients=20, after=empty.charged(night.mechanisms)
    )
    assert (said["noise_std"], said["moments"]) == (statement.noise_std, statement.slots)
    assert code == 0


def test_an_epsilon_of_a_night_says_how_many_nights_a_budget_buys() -> None:
    _, said = asked(*SUMS, "--night-epsilon", "1", *SHARES)
    assert (said["nights"], said["policy"]["privacy_epsilon"], said["shares"]) == (58, "1", 12)
    again = asked(*SUMS, "--nights", "58", *SHARES)[1]
    assert Decimal(again["policy"]["privacy_epsilon"]) >= 1
    with pytest.raises(ConfigError, match="no night of epsilon"):
        asked(*SUMS, "--night-epsilon", "11")


def test_shares_have_a_little_more_noise_than_one_that_is_trusted_and_far_less_than_local() -> None:
    """All 20 shares are in the sum, of which 12 are counted on (R-195)."""
    central, shares, local = (
        asked(*SUMS, "--night-epsilon", "1", *options)[1]["noise_std"]
        for options in ((), SHARES, ("--place", "local"))
    )
    assert shares / central == pytest.approx((20 / 12) ** 0.5, rel=1e-3)
    assert local / central == pytest.approx(20**0.5, rel=1e-3)


def test_the_noise_on_a_correlation_is_that_which_is_seen() -> None:
    """Rows of norm C whose variables are all alike in size; the planner knows no data."""
    _, said = asked(*SUMS, "--night-epsilon", "1", "--max-lag", "0")
    policy, rng = policy_of(said), np.random.default_rng(1)
    rows = rng.normal(size=(20_000, 6))
    rows *= 2.99 / np.linalg.norm(rows, axis=1)[:, None]
    found = []
    for _ in range(100):
        moments = rows.T @ rows + np.triu(rng.normal(0, said["noise_std"], (6, 6)))
        spread = np.sqrt(np.diag(moments))
        exact = rows.T @ rows
        own = np.sqrt(np.diag(exact))
        upper = np.triu_indices(6, 1)
        shift = moments / np.outer(spread, spread) - exact / np.outer(own, own)
        found.append(shift[upper].std())
    assert policy.statistics.row_norm == 3
    assert np.mean(found) == pytest.approx(said["correlation_noise_std"], rel=0.1)
    less = asked(*SUMS, "--night-epsilon", "1", "--max-lag", "0", "--spread", "0.5")[1]
    assert less["correlation_noise_std"] > said["correlation_noise_std"]


def test_few_rows_are_told_that_it_is_useless_and_how_many_they_would_need() -> None:
    code, said = asked(*SUMS, "--nights", "365", "--rows", "200", "--place", "local")
    assert code == 1
    assert said["verdict"].startswith("Useless: in 200 rows the noise hides every correlation.")
    enough = str(said["rows_needed"])
    code, more = asked(*SUMS, "--nights", "365", "--rows", enough, "--place", "local")
    assert (code, more["cut"]) == (0, pytest.approx(0.3, rel=1e-3))
    barely = asked(*SUMS, "--nights", "365", "--rows", "3000", "--place", "local")[1]
    assert barely["verdict"].startswith("Barely useful")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ((*SUMS,), "either how many nights"),
        ((*SUMS, "--nights", "9", "--night-epsilon", "1"), "either how many nights"),
        ((*SUMS, "--nights", "9", "--place", "shares"), "need --noise-shares"),
        ((*SUMS, "--nights", "9", "--noise-shares", "3"), "without --place shares does not belong"),
        ((*SUMS, "--nights", "9", "--baskets", "2"), "--baskets does not belong"),
        ((*SUMS, "--nights", "9", *SHARES, "--clients", "12"), "12 clients leave fewer"),
        ((*YEAR, "--clients", "20", "--rows", "9"), "--rows does not belong to rounds of edges"),
        ((*YEAR, "--clients", "20", "--place", "shares"), "noise is shares, in 0 shares"),
    ],
)
def test_rounds_of_statistics_are_planned_by_options_of_their_own(
    options: tuple[str, ...], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        asked(*options)
