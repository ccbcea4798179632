"""`hyperfed inspect`: every kind of object, what is verified, and what is said where it is not."""

from dataclasses import replace
from pathlib import Path

import pytest

from hyperfed.cli.operator.inspection import inspect_object
from hyperfed.crypto.keys import KeyPair
from hyperfed.demo import VARIABLES
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.packs import make_pack, read_pack
from hyperfed.registry.registry import sign_registry
from hyperfed.tables.vocabulary import Variable, Vocabulary
from tests.damage import damaged
from tests.unit.cli.conftest import World


@pytest.fixture
def counted(world: World) -> World:
    """After one night; the coordinator's key is configured nowhere."""
    world.night(1)
    return world


def test_every_object_of_a_round_is_verified_and_readable(counted: World) -> None:
    kinds: dict[str, int] = {}
    for key in counted.objects():
        said = counted.desk.ok("inspect", key)
        assert (said["verified"], said["why"]) == (True, "")
        assert said["key"] == key
        assert said["kind"].startswith("pack") or said["header"]["federation"] == "small-fed"
        told = counted.desk("inspect", key)
        assert told.code == 0
        assert "Verified" in told.out
        kinds[said["kind"]] = kinds.get(said["kind"], 0) + 1
    assert kinds == {
        "registry": 1,
        "plan": 1,
        "update": 3,
        "pack of accepted updates": 1,
        "freeze": 1,
        "result": 1,
        "state": 1,
        "receipt": 3,
        "ledger entry": 2,
    }
    assert (
        counted.desk.ok("inspect", "rounds/00000001/freeze")["content"]["counted"][0]["client"]
        == "iowa"
    )
    assert counted.desk.ok("inspect", "ledger/000000000002")["content"]["kind"] == "commit"
    receipt = counted.desk.ok("inspect", "rounds/00000001/receipts/texas")["content"]
    assert receipt["fate"] == "counted"
    assert receipt["leaf"].startswith("counted/texas/1/")


def test_listings(counted: World) -> None:
    everything = counted.desk.ok("inspect")
    assert everything["count"] == len(counted.objects())
    inbox = counted.desk.ok("inspect", "inbox/00000001/")
    assert [o["key"] for o in inbox["objects"]] == [
        f"inbox/00000001/{c}/0" for c in ("iowa", "ohio", "texas")
    ]
    assert counted.desk.ok("inspect", "inbox/00000001/te")["count"] == 1
    assert "inbox/" in counted.desk("inspect").out
    assert counted.desk.fails(4, "inspect", "rounds/00000099/")["kind"] == "ObjectNotFound"
    assert counted.desk.fails(4, "inspect", "nothing-here")["kind"] == "ObjectNotFound"
    assert counted.desk.fails(2, "inspect", "../etc/passwd")["rule"] == "R-2"


def test_a_sealed_update_shows_its_header_and_opens_with_the_coordinators_key(
    counted: World,
) -> None:
    key = "inbox/00000001/texas/0"
    closed = counted.desk.ok("inspect", key)
    assert closed["content"] is None
    assert "sealed" in closed["notes"][0]
    assert (closed["header"]["sender"], closed["header"]["round"]) == ("texas", 1)
    opened = counted.desk.ok("inspect", key, "--open-with", "coordinator.key")
    assert opened["content"]["measured"] == list(VARIABLES)
    assert opened["content"]["edges"]
    assert {row["source"] for row in opened["content"]["edges"]} <= set(VARIABLES)
    KeyPair.generate().save(Path("stranger.key"))
    other = counted.desk.ok("inspect", key, "--open-with", "stranger.key")
    assert other["content"] is None
    assert "cannot be read" in other["notes"][0]


def test_what_does_not_verify_is_shown_with_the_reason(counted: World) -> None:
    federation = counted.federation
    federation.open(2)
    whole = federation.envelope("texas", round_id=2)
    cases = {
        federation.put(b"\x00 garbage", "texas", round_id=2, slot=0): (
            "not a Hyperfed envelope",
            None,
        ),
        federation.put(
            federation.envelope("texas", round_id=2, key_pair=KeyPair.generate()),
            "texas",
            round_id=2,
            slot=1,
        ): ("R-81", "texas"),
        federation.put(federation.envelope("ohio", round_id=2), "texas", round_id=2, slot=2): (
            "R-82",
            "ohio",
        ),
        federation.put(damaged(whole), "texas", round_id=2, slot=3): (
            "R-33",
            "texas",
        ),
    }
    for key, (reason, sender) in cases.items():
        ran = counted.desk("inspect", key, "--json")
        assert ran.code == 1
        assert ran.json["verified"] is False
        assert reason in ran.json["why"]
        assert (ran.json["header"] or {}).get("sender") == sender
        told = counted.desk("inspect", key)
        assert "NO:" in told.out


def test_an_object_in_another_rounds_place_is_named(counted: World) -> None:
    counted.federation.open(2)
    data = counted.federation.store.read("rounds/00000001/result", max_bytes=1 << 20)
    counted.federation.store.put_if_absent("rounds/00000002/result", data)
    ran = counted.desk("inspect", "rounds/00000002/result", "--json")
    assert (ran.code, ran.json["verified"]) == (1, False)
    assert ran.json["header"]["round"] == 1, "what it claims is still shown"


def test_a_key_outside_the_protocol_means_nothing(counted: World) -> None:
    counted.federation.store.put_if_absent("notes/readme", b"hello")
    counted.federation.store.put_if_absent("probe/abc/once", b"first")
    assert counted.desk("inspect", "notes/readme", "--json").code == 1
    assert counted.desk.ok("inspect", "probe/abc/once")["verified"] is False


def test_nobodys_fingerprint_is_said(counted: World) -> None:
    config = counted.desk.folder / "hyperfed.toml"
    config.write_text(config.read_text().replace("fingerprint", "#fingerprint"))
    assert "no root fingerprint is configured" in counted.desk("inspect", "registry/000001").err


def the_pack(counted: World) -> str:
    (key,) = counted.federation.objects("rounds/00000001/accepted/")
    return key


def test_a_pack_lists_its_updates_and_shows_each(counted: World) -> None:
    key = the_pack(counted)
    listed = counted.desk.ok("inspect", key)
    rows = listed["content"]["updates"]
    assert [(row["sender"], row["round"], row["verified"]) for row in rows] == [
        (client, 1, True) for client in ("iowa", "ohio", "texas")
    ]
    assert listed["notes"][0] == "The round's freeze names it"
    assert [row["update"] for row in rows] == [
        digest.hex() for digest in counted.federation.accepted(1)
    ]
    texas = counted.desk.ok(
        "inspect", f"{key}/{rows[2]['update']}", "--open-with", "coordinator.key"
    )
    inbox = counted.desk.ok("inspect", "inbox/00000001/texas/0", "--open-with", "coordinator.key")
    assert texas["kind"] == "accepted update"
    assert {name: texas[name] for name in ("size", "sha256", "header", "content")} == {
        name: inbox[name] for name in ("size", "sha256", "header", "content")
    }
    unknown = counted.desk("inspect", f"{key}/{'ab' * 32}", "--json")
    assert (unknown.code, unknown.json["why"].count("no such update")) == (1, 1)


def test_a_pack_that_was_changed_or_is_not_the_clients_is_said(counted: World) -> None:
    store, key = counted.federation.store, the_pack(counted)
    data = store.read(key, max_bytes=1 << 20)
    moved = f"rounds/00000001/accepted/{'ab' * 32}"
    store.put_if_absent(moved, data)
    ran = counted.desk("inspect", moved, "--json")
    assert (ran.code, ran.json["verified"]) == (1, False)
    assert "R-66" in ran.json["why"]
    updates = read_pack(data, subject=key)
    first, second, third = updates
    forged = make_pack([(first, updates[second]), (second, b"garbage"), (third, updates[third])])
    place = Keys.accepted(1, forged.digest)
    store.put_if_absent(place, forged.data)
    ran = counted.desk("inspect", place, "--json")
    assert (ran.code, ran.json["verified"]) == (1, False)
    assert ran.json["why"].startswith("2 of its 3 updates: ")
    assert [row["verified"] for row in ran.json["content"]["updates"]] == [False, False, True]
    assert ran.json["notes"][0] == "No freeze names it: nothing depends on it"
    assert "NO:" in counted.desk("inspect", place).out


def test_an_object_of_one_update_from_before_there_were_packs(counted: World) -> None:
    store, (digest, *_) = counted.federation.store, counted.federation.accepted(1)
    data = store.read("inbox/00000001/iowa/0", max_bytes=1 << 20)
    store.put_if_absent(Keys.accepted(1, digest), data)
    said = counted.desk.ok("inspect", Keys.accepted(1, digest))
    assert (said["kind"], said["verified"], said["header"]["sender"]) == (
        "accepted update",
        True,
        "iowa",
    )


def test_an_accepted_update_under_another_ones_digest(counted: World) -> None:
    store = counted.federation.store
    data = store.read("inbox/00000001/texas/0", max_bytes=1 << 20)
    key = f"rounds/00000001/accepted/{'ab' * 32}"
    store.put_if_absent(key, data)
    ran = counted.desk("inspect", key, "--json")
    assert (ran.code, ran.json["verified"]) == (1, False)
    assert "R-66" in ran.json["why"]


def test_a_registry_that_is_not_the_published_one(counted: World) -> None:
    """Signed by the same root, never published: what is shown is what was verified, byte for
    byte.
    """
    federation = counted.federation
    other = sign_registry(replace(federation.registry, window_s=60), federation.roots)
    view = inspect_object(
        other, key="registry/000001", reader=federation.reader(), keys_for=lambda: None
    )
    assert (view.verified, view.content) == (False, None)
    honest = federation.store.read("registry/000001", max_bytes=1 << 20)
    assert inspect_object(
        honest, key="registry/000001", reader=federation.reader(), keys_for=lambda: None
    ).verified


def test_units_and_what_is_plausible_are_shown_with_everything_about_variables(
    world: World,
) -> None:
    entries = [Variable(name) for name in VARIABLES]
    entries[2] = Variable("output", "", "percent", low=-60)
    world.federation.vocabulary = Vocabulary(tuple(entries))
    world.night(1)
    keys = ("rounds/00000001/plan", "rounds/00000001/result", "inbox/00000001/texas/0")
    (world.desk.folder / "coordinator.key").unlink(missing_ok=True)
    world.federation.coordinator.save(world.desk.folder / "coordinator.key")
    for key in keys:
        words = ("inspect", key, "--open-with", "coordinator.key")
        content = world.desk.ok(*words)["content"]
        assert content["units"] == {"output": "percent"}, key
        assert content["plausible"] == {"output": "-60 to any"}, key
        assert "percent" in world.desk(*words).out
