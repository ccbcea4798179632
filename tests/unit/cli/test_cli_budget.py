"""`hyperfed budget` and `hyperfed budget plan`: the numbers of the ledger, and plain words about
too few clients.
"""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from hyperfed.cli.app import app
from hyperfed.errors import ConfigError, PrivacyError
from hyperfed.packets import PolicyPack
from hyperfed.privacy.accountant import PrivacyAccountant
from hyperfed.privacy.policy import release_of
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
