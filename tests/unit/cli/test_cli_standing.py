"""From which round a client counts, how long it may submit for an earlier one, and what a revoked
client is told: submit, client night, status, pull.
"""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import QuorumMissed
from hyperfed.protocol.receipt_objects import (
    Fate,
)
from hyperfed.registry.registry import ClientRecord, KeyRecord
from tests.unit.cli.conftest import CLIENTS, World

FAST = ("--bootstraps", "5")


def submit(world: World, client: str = "texas", *more: str) -> Any:
    return world.desk.ok("submit", "--data", world.data(client), *as_client(client), *FAST, *more)


def as_client(client: str) -> tuple[str, ...]:
    return ("--client-id", client, "--key", f"{client}.key", "--memory", f"{client}.memory.json")


def refused(
    world: World,
    code: int,
    *more: str,
    command: tuple[str, ...] = ("submit",),
    client: str = "texas",
) -> dict[str, str]:
    """The error of a command that discovers nothing, sends nothing, and changes nothing of this
    client's; a night has pulled before.
    """
    data = world.data(client)
    data.write_text("a file that discovery would refuse\n")
    files, objects = own_files(world, client), world.objects()
    error = world.desk.fails(code, *command, "--data", data, *as_client(client), *more)
    assert world.objects() == objects
    assert own_files(world, client) == files or command == ("client", "night")
    return error


def own_files(world: World, client: str) -> dict[str, bytes]:
    """A client's files but for the copy of the ledger, which may be lost."""
    return {
        name: data
        for name, data in world.files().items()
        if client in name and "ledger" not in name
    }


def below_quorum(world: World) -> Any:
    """Round 1 with one of three updates, its window over: the coordinator's refusal. The clock
    stands in round 2, which is open.
    """
    world.federation.open(1, quorum=2)
    submit(world, "iowa")
    with pytest.raises(QuorumMissed) as caught:
        world.federation.run(1)
    world.federation.open(2, quorum=2)
    world.at(2)
    return caught.value


# -- an earlier round ------------------------------------------------------------------------------


def test_below_quorum_a_straggler_submits_for_that_round_and_a_retry_counts_it(
    world: World,
) -> None:
    told = below_quorum(world)
    assert "`hyperfed submit --round 1 --data FILE`" in told.remedy
    said = submit(world, "texas", "--round", "1")
    assert (said["round"], said["key"]) == (1, "inbox/00000001/texas/0")
    assert said["send_again_for"] is None
    assert world.federation.run(1, now=world.desk.now).counted == 2
    world.desk.now += timedelta(minutes=1)
    status = world.desk("status", "--json").json
    assert status["headline"] == "counted in round 1"
    receipt = world.federation.receipt("texas", 1)
    assert receipt is not None
    assert (receipt.fate, receipt.made_for) == (Fate.COUNTED, 1)


def test_it_is_told_what_the_operator_does_next(world: World) -> None:
    below_quorum(world)
    out = world.desk(
        "submit", "--data", world.data(), *as_client("texas"), *FAST, "--round", "1"
    ).out
    assert "hyperfed round retry 1" in out
    assert "before 2026-01-03 00:00 UTC" in out


def test_the_earlier_rounds_plan_decides_what_leaves(world: World) -> None:
    world.federation.open(1, quorum=2, stability_min=0.95)
    world.federation.open(2, quorum=2, stability_min=0.0)
    world.at(2)
    shared = {}
    for number in (1, 2):
        said = world.desk.ok(
            "submit", "--data", world.data(), *FAST, "--round", str(number), "--dry-run"
        )
        assert said["round"] == number
        votes = [row["stability"] for row in said["edges"] if row["confidence"] > 0]
        assert len(votes) == said["edges_shared"]
        shared[number] = votes
    assert min(shared[1]) >= 0.95 > min(shared[2])


def test_an_update_of_the_running_round_is_sent_again_after_one_for_an_earlier(
    world: World,
) -> None:
    """What is sent later has the higher sequence: counted in round 1, it would have round 2 refuse
    the other (R-89).
    """
    below_quorum(world)
    submit(world)
    assert submit(world, "texas", "--round", "1")["send_again_for"] == 2
    assert "submit for round 2 again" in " ".join(
        world.desk("submit", "--data", world.data(), *FAST, "--round", "1").out.split()
    )
    assert submit(world)["send_again_for"] is None
    assert world.federation.run(1, now=world.desk.now).counted == 2
    submit(world, "iowa")
    assert world.federation.run(2).counted == 2


def test_a_noised_message_of_the_running_round_is_not_shut_out(world: World) -> None:
    private = {"privacy": "local", "strategy": "mean", "trust_min": 0, "max_lag": 1}
    world.federation.open(1, quorum=2, **private)
    world.federation.open(2, quorum=2, **private)
    world.at(2)
    submit(world)
    assert refused(world, 1, "--round", "1")["rule"] == "R-98"


def test_a_night_submits_for_an_earlier_round_too(world: World) -> None:
    below_quorum(world)
    said = world.desk.ok(
        "client", "night", "--data", world.data(), *as_client("texas"), "--round", "1"
    )
    assert (said["update"]["round"], said["update"]["key"]) == (1, "inbox/00000001/texas/0")
    again = world.desk.ok(
        "client", "night", "--data", world.data(), *as_client("texas"), "--round", "1"
    )
    assert again["update"]["sent"] is False
    assert (
        world.desk.ok("client", "night", "--data", world.data(), *as_client("texas"))["update"][
            "round"
        ]
        == 2
    )


@pytest.mark.parametrize("command", [("submit",), ("client", "night")])
def test_a_round_that_takes_no_update_says_why(world: World, command: tuple[str, ...]) -> None:
    world.federation.open(2)
    world.at(2)
    assert refused(world, 1, "--round", "1", command=command)["problem"] == "was not opened"
    future = refused(world, 4, "--round", "3", command=command)
    assert (future["problem"], future["rule"]) == ("has not begun", "R-60")
    assert "round 2 runs now" in future["remedy"]


def test_a_round_that_has_ended_or_closed_takes_no_update(world: World) -> None:
    world.night(1)
    error = refused(world, 1, "--round", "1")
    assert (error["problem"], error["rule"]) == ("is committed already", "R-61")
    world.federation.open(2)
    world.at(4)
    error = refused(world, 1, "--round", "2")
    assert (error["rule"], "2026-01-04 00:00:00 UTC" in error["problem"]) == ("R-62", True)
    world.federation.open(3)
    world.federation.run(3, now=world.desk.now + timedelta(days=1))
    assert refused(world, 1, "--round", "2")["problem"] == "is void already"


def test_a_round_whose_freeze_is_there_takes_no_update(world: World) -> None:
    below_quorum(world)
    submit(world, "ohio", "--round", "1")
    runner = world.federation.runner(1, now=world.desk.now)
    runner.freeze(1, runner.validate(runner.collect(1)))
    error = refused(world, 1, "--round", "1")
    assert (error["rule"], "decided already" in error["problem"]) == ("R-63", True)


# -- a new client ----------------------------------------------------------------------------------


def register(world: World, client: str = "nevada", *, from_round: int = 1) -> None:
    key_pair = KeyPair.generate()
    key_pair.save(Path(f"{client}.key"))
    record = ClientRecord(
        client_id=client,
        organisation="Nevada Bank",
        keys=(KeyRecord(keys=key_pair.public, valid_from=from_round),),
    )
    clients = tuple(sorted((*world.federation.registry.clients, record), key=lambda c: c.client_id))
    world.federation.amend(clients=clients)


def test_a_new_client_is_told_from_which_round_it_counts_and_sends_nothing_before(
    world: World,
) -> None:
    """Registered while round 1 runs: its cohort is signed, so round 1 would refuse the client
    (R-96).
    """
    world.federation.open(1)
    register(world)
    status = world.desk("status", *as_client("nevada"), "--json").json
    assert status["open_round"]["counts_from"] == 2
    assert status["open_round"]["said"].startswith(
        "you count from round 2 on, which opens at 2026-01-02 00:00:00 UTC"
    )
    assert "counts from round 2 on" in status["key"]["said"]
    for command in (("submit",), ("submit", "--dry-run"), ("client", "night")):
        error = refused(world, 4, command=command, client="nevada")
        assert error["rule"] == "R-96"
        assert (
            "You count from round 2 on, which opens at 2026-01-02 00:00:00 UTC" in error["remedy"]
        )
    world.federation.open(2)
    world.at(2)
    assert (
        refused(world, 4, "--round", "1", client="nevada")["remedy"]
        == "Nothing was sent. You count in round 2, which runs now: leave --round out"
    )
    assert submit(world, "nevada")["round"] == 2
    status = world.desk("status", *as_client("nevada"), "--json").json
    assert status["open_round"]["counts_from"] == 2
    assert "for round 2 is in" in status["open_round"]["said"]
    for client in CLIENTS:
        submit(world, client)
    assert world.federation.run(1, now=world.federation.night(2)).why is not None, (
        "round 1 is void: nobody submitted"
    )
    assert world.federation.run(2).counted == 4
    assert world.desk.ok("status", *as_client("nevada"))["headline"] == "counted in round 2"


def test_what_a_new_client_sent_too_early_is_said_to_be_lost(world: World) -> None:
    world.federation.open(1)
    register(world)
    world.federation.put(b"sent by an older version", "nevada")
    assert (
        "what lies there for round 1 will be refused"
        in world.desk("status", *as_client("nevada"), "--json").json["open_round"]["said"]
    )


def test_the_operator_is_told_from_which_round_a_new_client_counts(world: World) -> None:
    world.federation.roots[0].save(Path("root.key"))
    world.desk.ok("keygen", "nevada.key")
    world.desk.ok(
        "enroll",
        "--client-id",
        "nevada",
        "--organisation",
        "Nevada Bank",
        "--key",
        "nevada.key",
        "--out",
        "nevada.enrolment",
    )
    unopened = world.desk.ok(
        "registry", "add", "nevada.enrolment", "--yes", "--out", "unopened.draft"
    )
    assert unopened["counts_from"] == 1
    world.federation.open(1)
    said = world.desk.ok("registry", "add", "nevada.enrolment", "--yes", "--out", "opened.draft")
    assert (said["counts_from"], said["opens"]) == (2, "2026-01-02T00:00:00+00:00")
    (nevada,) = [c for c in said["clients"] if c["client_id"] == "nevada"]
    assert [key["valid_from"] for key in nevada["keys"]] == [2]
    world.desk.ok("registry", "revoke", "iowa", "--out", "amended.draft")
    (world.desk.folder / "elsewhere.toml").write_text("")
    offline = ("--config", "elsewhere.toml", "--draft", "amended.draft", "--out", "amended-2.draft")
    assert (
        world.desk.ok("registry", "add", "nevada.enrolment", "--yes", *offline)["counts_from"] == 2
    ), "nobody can look: the safe answer"
    told = world.desk("registry", "add", "nevada.enrolment", "--yes", "--out", "told.draft").out
    assert "round 2 on, which opens at 2026-01-02 00:00 UTC (nevada)" in " ".join(told.split())


# -- a revoked client ------------------------------------------------------------------------------


def test_a_revoked_client_is_told_by_which_registry_version_and_from_which_round(
    world: World,
) -> None:
    world.night(1)
    world.federation.open(2)
    world.federation.revoke("texas", from_round=2)
    world.federation.amend()  # a later version that says nothing new of it
    said = "texas was revoked from round 2 on, by registry version 2"
    error = refused(world, 1)
    assert (error["kind"], error["rule"]) == ("RegistryError", "R-81")
    assert error["problem"] == "was revoked from round 2 on, by registry version 2"
    assert refused(world, 1, command=("client", "night"))["problem"] == error["problem"]
    ran = world.desk("status", "--json")
    assert ran.code == 1
    assert ran.json["open_round"]["said"].startswith(said)
    assert ran.json["open_round"]["revoked"] == {"from_round": 2, "registry_version": 2}
    assert "speaks no more" in ran.json["key"]["said"]
    pulled = world.desk("pull", "--out", "model")
    assert pulled.code == 0
    assert said in pulled.err
    assert "revoked" not in world.desk("pull", *as_client("ohio"), "--out", "model").err


def test_a_client_that_was_revoked_before_it_spoke_is_told_too(world: World) -> None:
    register(world, from_round=3)
    world.federation.revoke("nevada", from_round=2)
    world.federation.open(1)
    assert world.desk("status", *as_client("nevada"), "--json").json["open_round"]["revoked"] == {
        "from_round": 3,
        "registry_version": 3,
    }
    assert (
        refused(world, 1, client="nevada")["problem"]
        == "was revoked from round 3 on, by registry version 3"
    )


def test_who_never_was_registered_is_not_called_revoked(world: World) -> None:
    world.federation.open(1)
    KeyPair.generate().save(Path("utah.key"))
    assert refused(world, 1, client="utah")["rule"] == "R-32"
    status = world.desk("status", *as_client("utah"), "--json").json
    assert (status["open_round"]["revoked"], status["open_round"]["counts_from"]) == (None, None)
    assert "NOT registered" in status["key"]["said"]


# -- how it was weighed ----------------------------------------------------------------------------


def test_a_client_is_shown_its_own_weight_and_what_would_help_and_nobody_elses(
    world: World,
) -> None:
    fed = world.federation
    fed.open(1, quorum=2, lags=(1,))
    for client in fed.clients:
        fed.submit(client, fed.update(client, effect=-0.9 if client == "texas" else 0.5))
    fed.run(1)
    world.at(2)
    status = world.desk.ok("status")
    assert status["headline"] == "counted in round 1"
    (receipt,) = status["receipts"]
    assert (receipt["weight"], receipt["agreement"]) == (0.0, -1.0)
    assert 0 < receipt["trust"] < 0.5
    assert "check units" in receipt["remedy"]
    told = world.desk("status").out
    assert "0.00 of 1; your agreement with the others is -1.00; your trust is" in told
    assert not any(client in told for client in fed.clients if client != "texas")
    assert world.desk.ok("status", *as_client("iowa"))["receipts"][0]["weight"] == 1.0


def test_status_shows_the_lags_of_the_open_rounds_plan(world: World) -> None:
    assert world.desk("status", "--json").json["open_round"]["lags"] is None
    world.federation.open(1, lags=(0, 1, 2))
    ran = world.desk("status", "--json")
    assert ran.json["open_round"]["lags"] == [0, 1, 2]
    assert "the plan says 0, 1, 2" in world.desk("status").out


def test_status_says_that_a_receipt_denies_what_was_sent_in_time(world: World) -> None:
    """The coordinator does not see texas's update; its status names it, with what to show whom."""
    fed = world.federation
    fed.open(1, quorum=2)
    world.at(1)
    for client in CLIENTS:
        submit(world, client)
    runner = fed.runner(1)
    arrivals = runner.collect(1)
    kept = tuple(entry for entry in arrivals.keys if "/texas/" not in entry[0])
    runner.freeze(1, runner.validate(replace(arrivals, keys=kept)))
    runner.conclude(1)
    world.at(2)
    ran = world.desk("status", *as_client("texas"), "--json")
    assert ran.code == 1
    (denied,) = ran.json["denied"]
    assert denied["key"] == "inbox/00000001/texas/0"
    assert "the receipt denies it" in denied["said"]
    assert "auditor" in denied["remedy"]
    told = world.desk("status", *as_client("texas"))
    assert "DENIED, round 1" in told.out
    honest = world.desk.ok("status", *as_client("iowa"))
    assert honest["denied"] == []


def test_heads_are_shown_and_compared_and_a_model_says_its_age(world: World) -> None:
    world.night(1)
    world.at(5)
    pulled = world.desk.ok("pull", *as_client("texas"))
    assert pulled["age"]["windows_behind"] == 3
    head = pulled["ledger_head"]["shown"]
    assert head.startswith("2: ")
    for command in (("pull", *as_client("iowa")), ("status", *as_client("iowa")), ("audit",)):
        told = world.desk(*command, "--head", head)
        assert told.code == 0, told.err
        assert head in told.out, "as people read it out"
    same = world.desk.ok("status", *as_client("iowa"), "--head", head)
    assert same["ledger_head"]["compared"] == "the same history as far as entry 2"
    assert same["age"]["windows_behind"] == 3
    digits = head.removeprefix("2: ")
    lie = f"2: {'0' if digits[0] != '0' else '1'}{digits[1:]}"
    for command in (("pull", *as_client("iowa")), ("status", *as_client("iowa"))):
        error = world.desk.fails(1, *command, "--head", lie)
        assert error["rule"] == "R-130"
    assert world.desk("audit", "--head", lie).code == 1
    assert "no ledger's head" in world.desk.fails(2, "audit", "--head", "12")["problem"]
