"""What `hyperfed check` says of links: a client whose operator has forgotten it, or gives it links
that end too soon, hears of it while they live; one that gets new ones each round hears nothing.
"""

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from hyperfed.cli import app
from hyperfed.client.opening import Opening
from hyperfed.client.settings import load_settings
from hyperfed.links.bundle import outlast
from hyperfed.operations.health import Finding, Level, health
from hyperfed.operations.health.keys import links_finding
from hyperfed.testing.federation import SmallFederation
from tests.unit.links.signing_store import SigningStore, issuer, opened
from tests.unit.links.test_link_chain import ME, Client, issue

DAY_S = 86_400


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client with a file of links, and settings that name it."""
    client = Client(SmallFederation(store=SigningStore()), tmp_path)
    client.keys.save(tmp_path / "site.key")
    (tmp_path / "hyperfed.toml").write_text(
        f'[store]\nlinks = "{client.file.name}"\n[federation]\nfingerprint = '
        f'"{client.fed.fingerprint}"\n[client]\nid = "{ME}"\nkey = "site.key"\n'
    )
    monkeypatch.setattr(
        "hyperfed.links.presigned_store.PresignedStore", lambda links, **_: client.reach(links)
    )
    return client


def checked(client: Client) -> dict[str, Finding]:
    """What a check finds by these links, each time with what it has kept beside the file."""
    settings = load_settings(client.file.parent / "hyperfed.toml")
    return {f.name: f for f in health(Opening(settings, now=lambda: client.now))}


def test_links_that_no_round_renews_are_told_while_they_live(client: Client) -> None:
    seen = []
    for round_id in range(1, 9):
        client.at(round_id)
        found = checked(client)
        seen.append(found["links"].level if "links" in found else None)
        if round_id == 5:
            assert "those of round 1 expire at 2026-01-08" in found["links"].said
            assert "round 5 brought no newer ones" in found["links"].said
            assert "hyperfed links issue" in found["links"].remedy
    assert seen == [Level.GOOD] * 4 + [Level.WARNING] * 3 + [None]
    store = found["store"]
    assert (store.level, "the links expired at" in store.said) == (Level.CRITICAL, True)
    assert "hyperfed links issue" in store.remedy


def test_links_that_each_round_renews_are_good_for_ever(client: Client) -> None:
    fed = client.fed
    for round_id in range(2, 10):
        fed.open(round_id)
        issue(fed, round_id)
        client.at(round_id)
        found = checked(client)["links"]
        assert found.level is Level.GOOD, round_id
        assert f"those of round {round_id} expire" in found.said


@pytest.mark.parametrize(
    ("lifetime_s", "level"),
    [(DAY_S - 3600, Level.WARNING), (DAY_S, Level.WARNING), (2 * DAY_S, Level.GOOD)],
)
def test_links_that_end_before_the_next_rounds_can_be_fetched_are_told_at_once(
    lifetime_s: int, level: Level
) -> None:
    fed = SmallFederation(store=SigningStore())
    links = opened(fed, issuer(fed, lifetime_s=lifetime_s).bundle(ME).data)
    now = fed.opens(1) + timedelta(hours=1)
    assert links_finding(links, fed.registry, now).level is level


def test_windows_that_outlast_all_links_are_told_while_a_file_can_still_come() -> None:
    """No operator can issue links that reach the next week's: a warning from the first hour on
    would be there for ever, and read by nobody.
    """
    fed = SmallFederation(store=SigningStore(), window_s=7 * DAY_S)
    links, opens = opened(fed, issuer(fed).bundle(ME).data), fed.opens(1)
    found = [links_finding(links, fed.registry, opens + timedelta(days=d)) for d in (1, 3, 4, 6)]
    assert [f.level for f in found] == [Level.GOOD] * 2 + [Level.WARNING] * 2
    assert all("windows of 7 days outlast them" in f.said for f in found)
    assert found[-1].remedy.endswith("each window")
    assert [outlast(days * DAY_S) for days in (1, 6, 6.5, 7, 30)] == [True] * 2 + [False] * 3


@pytest.mark.parametrize(("days", "said"), [(1, "--by-link"), (7, "another in each window")])
def test_the_operator_hears_at_the_first_file_whether_more_must_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, said: str
) -> None:
    fed = SmallFederation(store=SigningStore(), window_s=days * DAY_S)
    monkeypatch.setattr("hyperfed.cli.operator.links._issuer", lambda *_: issuer(fed))
    shown = CliRunner().invoke(app, ["links", "first", ME, "--out", str(tmp_path / "me.hfl")])
    assert (shown.exit_code, said in shown.output) == (0, True), shown.output
