"""`hyperfed gossip`, `pull --gossip` and `registry gossip`, as the members of a basket run them."""

import csv
import json
import shlex
from datetime import timedelta
from decimal import Decimal

import pytest
import yaml

from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import Budget
from tests.unit.cli.conftest import CLIENTS, Desk, World

SHARE = Budget(gossip_epsilon=Decimal(4), gossip_delta=Decimal("0.00001"))


@pytest.fixture
def basket(world: World) -> World:
    """Three states whose roots keep a share for gossip, in the first hour of round 1."""
    world.federation.amend(budget=SHARE)
    world.federation.open(1, lags=(1,))
    return world


def as_client(client: str) -> list[str]:
    return ["--client-id", client, "--key", f"{client}.key", "--memory", f"{client}.memory.json"]


def gossip(world: World, client: str, *words: str) -> dict[str, object]:
    words = words or ("--data", str(world.data(client)), "--bootstraps", "5")
    document: dict[str, object] = world.desk.ok("gossip", "run", *words, *as_client(client))
    return document


def test_a_basket_finds_its_average_and_pull_says_what_it_is(basket: World) -> None:
    desk = basket.desk
    for client in CLIENTS:
        began = gossip(basket, client)["exchange"]
        assert began["began"]  # type: ignore[index]
    for _ in range(3):
        desk.now += timedelta(hours=1)
        for client in CLIENTS:
            gossip(basket, client, "--bootstraps", "5", "--data", "nothing.csv")  # not looked at
    basket.at(3)  # the round's own window is long over, and nobody ran it
    first = desk.ok("pull", "--gossip", *as_client("iowa"))
    other = desk.ok("pull", "--gossip", *as_client("texas"))
    assert "by gossip" in first["label"]
    assert "not a round's result" in first["label"]
    assert first["round_is"] == "has no result: its coordinator is not there yet, or gone"
    assert first["members"] == list(CLIENTS)
    effects = [
        {(e["source"], e["target"]): e["effect"] for e in document["edges"]}
        for document in (first, other)
    ]
    noise = first["noise_std_least"]
    assert all(abs(effects[0][edge] - effects[1][edge]) < noise / 100 for edge in effects[0])
    assert len({tuple(sorted(one)) for one in effects}) == 1
    saved = json.loads((desk.folder / "model" / "gossip.json").read_text())
    assert saved["label"] == first["label"]
    rows = list(csv.DictReader((desk.folder / "model" / "gossip.csv").read_text().splitlines()))
    assert len(rows) == len(first["edges"])
    assert not (desk.folder / "model" / "model.npz").exists()
    told = desk("pull", "--gossip", *as_client("iowa")).out
    assert "not a round's result" in told
    assert "has no result" in told


def test_a_void_round_is_called_void_and_a_committed_one_has_a_better_result(
    basket: World,
) -> None:
    for client in CLIENTS:
        gossip(basket, client)
    fed = basket.federation
    fed.run(1, now=fed.opens(3))
    basket.desk.now = fed.opens(2)
    assert basket.desk.ok("pull", "--gossip", *as_client("iowa"))["round_is"] == "is void"


def test_status_sends_nothing_and_says_how_far_it_is(basket: World) -> None:
    desk = basket.desk
    nothing = desk.ok("gossip", "status")
    assert nothing["exchange"] is None
    assert "no part in it yet" in desk("gossip", "status").out
    gossip(basket, "texas")
    before = basket.objects()
    # "texas" is the client of hyperfed.toml, with the memory that was named
    stands = desk.ok("gossip", "status", "--memory", "texas.memory.json")
    assert (stands["exchange"]["epoch"], stands["exchange"]["heard"]) == (1, 0)
    assert 0 < stands["share"]["spent_share"] < 1
    assert "spent of epsilon 4" in desk("gossip", "status", "--memory", "texas.memory.json").out
    assert basket.objects() == before


def test_without_a_share_a_plain_round_has_no_gossip(world: World) -> None:
    world.federation.open(1, lags=(1,))
    before, files = world.objects(), set(world.files())
    error = world.desk.fails(1, "gossip", "run", "--data", world.data("texas"), "--bootstraps", "5")
    assert error["rule"] == "R-145"
    assert "hyperfed registry gossip" in error["remedy"]
    assert world.objects() == before
    assert not [name for name in set(world.files()) - files if name.endswith(".bin")]


def test_the_first_epoch_needs_data_and_a_later_one_does_not(basket: World) -> None:
    error = basket.desk.fails(2, "gossip", "run", *as_client("texas"))
    assert "still to be drawn" in error["problem"]
    assert basket.federation.objects("gossip/") == {}
    gossip(basket, "texas")
    assert basket.desk.ok("gossip", "run", *as_client("texas"))["exchange"]["sent"] == ""


def test_pull_without_any_part_in_gossip_says_what_to_do(basket: World) -> None:
    error = basket.desk.fails(1, "pull", "--gossip")
    assert "no part" in error["problem"]
    assert "gossip run" in error["remedy"]


def test_inspect_shows_gossip_to_whom_it_is_sealed(basket: World) -> None:
    gossip(basket, "iowa")
    key = Keys.gossip(1, 0, "iowa")
    seen = basket.desk.ok("inspect", key)
    assert (seen["kind"], seen["verified"], seen["content"]) == ("gossip", True, {"epoch": 0})
    assert "sealed to the epoch's peers" in seen["notes"][0]
    opened = basket.desk.ok("inspect", key, "--open-with", "texas.key")
    assert len(opened["content"]["edges"]) == 5 * 5
    assert opened["content"]["edges"][1]["target"] == "private_capital"
    closed = basket.desk.ok("inspect", key, "--open-with", "coordinator.key")
    assert closed["content"] == {"epoch": 0}


def test_the_roots_draft_a_share_and_everybody_sees_it(basket: World) -> None:
    desk = basket.desk
    drafted = desk.ok("registry", "gossip", "--epsilon", "2", "--delta", "1e-5", "--out", "g.draft")
    assert drafted["budget"]["gossip_epsilon"] == "2"
    assert "gossip has epsilon 2" in desk("registry", "show", "g.draft").out
    before = basket.files()
    error = desk.fails(
        2, "registry", "gossip", "--epsilon", "10", "--delta", "1e-5", "--out", "h.draft"
    )
    assert "gossip's share" in error["problem"]
    assert basket.files() == before


@pytest.mark.parametrize("kind", ["systemd", "cron", "prefect"])
def test_a_timer_runs_gossip_several_times_a_window(basket: World, kind: str) -> None:
    desk: Desk = basket.desk
    words = ["--gossip-frequency", "6", "--data", str(basket.data()), "--bootstraps", "5"]
    text = desk.ok("client", "timer", "--kind", kind, "--at", "01:30", *words)["text"]
    if kind == "prefect":
        (deployment,) = yaml.safe_load(text)["deployments"]
        assert deployment["entrypoint"] == "flows/gossip_round.py:gossip_round"
        assert deployment["parameters"]["source"]["bootstraps"] == 5
        assert deployment["schedules"] == [{"cron": "30 1,5,9,13,17,21 * * *", "timezone": "UTC"}]
        return
    if kind == "systemd":
        assert "OnCalendar=*-*-* 01,05,09,13,17,21:30:00 UTC" in text
        assert "hyperfed-gossip.timer" in text
        line = next(line for line in text.splitlines() if line.startswith("ExecStart="))
        command = shlex.split(line.removeprefix("ExecStart="))
    else:
        line = text.splitlines()[2]
        command = shlex.split(line.split(" || ")[0])[5:]
    assert command[1:3] == ["gossip", "run"]
    assert desk.ok(*command[1:])["exchange"]["began"]


def test_schedule_offers_gossip_again_and_only_where_it_is_asked_for(basket: World) -> None:
    rows = basket.desk.ok("schedule", "--gossip-frequency", "6")["schedules"]
    assert [(r["deployment"], r["interval_s"]) for r in rows][2:] == [("gossip-round", 14_400.0)]
    assert rows[2]["anchor"] == rows[0]["anchor"]
    assert len(basket.desk.ok("schedule")["schedules"]) == 2
    error = basket.desk.fails(2, "schedule", "--gossip-frequency", "13")
    assert "0 to 12" in error["problem"]
