"""The registry's ceremony: what each command drafts, and what must not get past it."""

from pathlib import Path
from typing import Any

import pytest

from hyperfed.cli.files import Armour, read_armour, unwrap, wrap
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.registries import load_registry
from hyperfed.errors import ConfigError
from hyperfed.registry.registry import Registry
from tests.unit.cli.conftest import Desk, World


@pytest.fixture
def roots(world: World) -> World:
    """The federation of `world` with its root key on the desk."""
    world.federation.roots[0].save(world.desk.folder / "root.key")
    return world


def _enrol(desk: Desk, client: str, name: str) -> tuple[str, dict[str, Any]]:
    """(file, what enroll said) of a new key of `client`."""
    desk.ok("keygen", name)
    file = f"{name}.enrolment"
    return file, desk.ok(
        "enroll",
        "--client-id",
        client,
        "--organisation",
        "Nevada Bank",
        "--basket",
        "banks",
        "--key",
        name,
        "--out",
        file,
    )


def _publish(desk: Desk, draft: str) -> dict[str, Any]:
    signed = desk.ok("registry", "sign", draft, "--root-key", "root.key", "--yes")
    return dict(desk.ok("registry", "publish", signed["file"]))


def _newest(world: World) -> Registry:
    known = load_registry(world.federation.store, fingerprint=world.federation.fingerprint)
    return known[0]


def test_a_client_is_added_from_the_round_that_runs(roots: World) -> None:
    desk = roots.desk
    roots.at(5)
    file, said = _enrol(desk, "nevada", "nevada.key")
    drafted = desk.ok("registry", "add", file, "--expect", said["fingerprint"])
    assert (drafted["version"], drafted["file"]) == (2, "registry-000002.draft")
    published = _publish(desk, drafted["file"])
    assert published["key"] == "registry/000002"
    record = _newest(roots).client("nevada")
    assert (record.organisation, record.basket) == ("Nevada Bank", "banks")
    assert [(k.keys.key_id, k.valid_from) for k in record.keys] == [(said["key_id"], 5)]
    shown = desk.ok("registry", "show")
    assert shown["version"] == 2
    assert [c["client_id"] for c in shown["clients"]] == ["iowa", "nevada", "ohio", "texas"]
    assert [c["client_id"] for c in desk.ok("registry", "show", "--version", "1")["clients"]] == [
        "iowa",
        "ohio",
        "texas",
    ]


def test_a_fingerprint_that_differs_stops_it(roots: World) -> None:
    file, said = _enrol(roots.desk, "nevada", "nevada.key")
    files, objects = roots.files(), roots.objects()
    wrong = ("0" if said["fingerprint"][0] != "0" else "1") + said["fingerprint"][1:]
    error = roots.desk.fails(2, "registry", "add", file, "--expect", wrong)
    assert said["fingerprint"] in error["problem"]
    error = roots.desk.fails(2, "registry", "add", file)
    assert "not confirmed" in error["problem"], (
        "where nobody can be asked, the comparison must be stated"
    )
    assert (roots.files(), roots.objects()) == (files, objects)


def test_a_fingerprint_is_read_as_people_write_it(roots: World) -> None:
    file, said = _enrol(roots.desk, "nevada", "nevada.key")
    grouped = " ".join(said["fingerprint"][i : i + 4].upper() for i in range(0, 64, 4))
    assert roots.desk.ok("registry", "add", file, "--expect", grouped)["version"] == 2


def test_an_enrolment_that_was_changed_is_refused(roots: World) -> None:
    file, _ = _enrol(roots.desk, "nevada", "nevada.key")
    _, data = read_armour(Path(file), Armour.ENROLMENT)
    Path(file).write_text(wrap(Armour.ENROLMENT, data.replace(b"Nevada Bank", b"Nevada Bonk")))
    assert roots.desk.fails(1, "registry", "add", file, "--yes")["rule"] == "R-33"
    assert not Path("registry-000002.draft").exists()


def test_rotation_overlaps_one_round_and_the_client_goes_on(roots: World) -> None:
    desk, federation = roots.desk, roots.federation
    roots.night(1)
    file, said = _enrol(desk, "texas", "texas-2.key")
    assert "--replace-key" in desk.fails(2, "registry", "add", file, "--yes")["remedy"], (
        "a known id is not overwritten by accident"
    )
    drafted = desk.ok("registry", "add", "--replace-key", file, "--expect", said["fingerprint"])
    _publish(desk, drafted["file"])
    record = _newest(roots).client("texas")
    old, new = record.keys
    assert (old.keys.key_id, old.valid_from, old.valid_until) == (
        federation.keys["texas"].key_id,
        1,
        3,
    )
    assert (new.keys.key_id, new.valid_from) == (said["key_id"], 3)
    federation.open(3)
    roots.at(3)
    for key in ("texas.key", "texas-2.key"):  # both speak in the overlap
        assert (
            desk.ok(
                "submit",
                "--data",
                roots.data(),
                "--bootstraps",
                "5",
                "--key",
                key,
                "--memory",
                "texas.memory.json",
            )["round"]
            == 3
        )
    federation.open(4)
    roots.at(4)
    assert desk.fails(1, "submit", "--data", roots.data(), "--bootstraps", "5")["rule"] == "R-81"
    desk.ok(
        "submit",
        "--data",
        roots.data(),
        "--bootstraps",
        "5",
        "--key",
        "texas-2.key",
        "--memory",
        "texas.memory.json",
    )


def test_a_revoked_client_is_refused_from_the_round_on(roots: World) -> None:
    desk = roots.desk
    roots.at(2)
    drafted = desk.ok("registry", "revoke", "texas")
    _publish(desk, drafted["file"])
    assert [k.valid_until for k in _newest(roots).client("texas").keys] == [1], (
        "its past stays verifiable"
    )
    roots.federation.open(2)
    assert desk.fails(1, "submit", "--data", roots.data(), "--bootstraps", "5")["rule"] == "R-81"
    assert (
        desk.ok(
            "submit",
            "--data",
            roots.data(),
            "--bootstraps",
            "5",
            "--client-id",
            "ohio",
            "--key",
            "ohio.key",
        )["round"]
        == 2
    )
    assert desk.fails(1, "registry", "revoke", "nobody-there")["kind"] == "RegistryError"


def test_one_key_of_a_coordinator_is_revoked_by_its_id(roots: World) -> None:
    desk = roots.desk
    desk.ok("keygen", "coordinator-2.key")
    roots.at(2)
    first = desk.ok("registry", "add", "--coordinator", "coordinator-2.key.pub")
    drafted = desk.ok(
        "registry",
        "revoke",
        roots.federation.coordinator.key_id,
        "--from-round",
        "4",
        "--draft",
        first["file"],
    )
    assert [(c["valid_from"], c["valid_until"]) for c in drafted["coordinators"]] == [
        (1, 3),
        (2, None),
    ]
    assert "no such key" in desk.fails(2, "registry", "revoke", "ab" * 16)["problem"]


def test_under_signed_unsigned_and_foreign_signatures_are_not_published(roots: World) -> None:
    desk, objects = roots.desk, roots.objects()
    drafted = desk.ok("registry", "revoke", "texas")["file"]
    assert desk.fails(1, "registry", "publish", drafted)["problem"] == "is not signed"
    desk.ok("keygen", "mallory.key")
    assert (
        desk.fails(2, "registry", "sign", drafted, "--root-key", "mallory.key", "--yes")["rule"]
        == "R-23"
    )
    forged = desk.ok(
        "registry", "sign", drafted, "--root-key", "mallory.key", "--yes", "--outgoing-root"
    )
    assert forged["complete"] is False
    assert desk.fails(1, "registry", "publish", forged["file"])["kind"] == "SignatureError"
    assert roots.objects() == objects


def test_signing_is_confirmed(roots: World) -> None:
    drafted = roots.desk.ok("registry", "revoke", "texas")["file"]
    files = roots.files()
    assert (
        "not confirmed"
        in roots.desk.fails(2, "registry", "sign", drafted, "--root-key", "root.key")["problem"]
    )
    assert roots.files() == files


def test_signatures_of_two_drafts_do_not_merge(roots: World) -> None:
    desk = roots.desk
    signed = []
    for client in ("texas", "ohio"):
        drafted = desk.ok("registry", "revoke", client, "--out", f"{client}.draft")
        signed.append(
            desk.ok("registry", "sign", drafted["file"], "--root-key", "root.key", "--yes")["file"]
        )
    assert desk.fails(1, "registry", "merge", *signed)["rule"] == "R-23"
    assert not Path("registry-000002.signed").exists()


def test_a_version_that_exists_is_never_changed(roots: World) -> None:
    desk = roots.desk
    first = desk.ok("registry", "revoke", "texas", "--out", "a.draft")["file"]
    second = desk.ok("registry", "revoke", "ohio", "--out", "b.draft")["file"]
    _publish(desk, first)
    objects = roots.objects()
    signed = desk.ok("registry", "sign", second, "--root-key", "root.key", "--yes")
    assert desk.fails(1, "registry", "publish", signed["file"])["kind"] == "RegistryError"
    assert roots.objects() == objects


def test_new_roots_need_the_old_ones_too(roots: World) -> None:
    desk = roots.desk
    desk.ok("keygen", "root-2.key")
    drafted = desk.ok("registry", "roots", "--root", "root-2.key.pub")
    new = desk.ok("registry", "sign", drafted["file"], "--root-key", "root-2.key", "--yes")
    assert desk.fails(1, "registry", "publish", new["file"])["kind"] == "SignatureError", (
        "the new roots alone could be anybody's"
    )
    both = desk.ok(
        "registry",
        "sign",
        new["file"],
        "--root-key",
        "root.key",
        "--yes",
        "--outgoing-root",
        "--out",
        "both.signed",
    )
    assert desk.ok("registry", "publish", both["file"])["version"] == 2
    assert _newest(roots).roots == (KeyPair.load(desk.folder / "root-2.key").public,)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--genesis", "tomorrow"), "'tomorrow' is no instant"),
        (("--genesis", "2027-01-01T00:00:00"), "has no time zone"),
        (("--window", "fortnight"), "is no length of time"),
        (("--window", "0h"), "is too short"),
        (("--window", "9s"), "at least 10"),
        (("--window", "367d"), "at most 31622400"),
        (("--epsilon", "lots"), "is no number above 0"),
        (("--root", "missing.pub"), "cannot be read"),
        (("--root", "hyperfed.toml"), "is not a public key file"),
        (("--federation", "Not An Id"), "not a client id"),
    ],
)
def test_init_says_what_it_cannot_use(roots: World, options: tuple[str, str], said: str) -> None:
    desk = roots.desk
    for name in ("r.key", "c.key"):
        desk.ok("keygen", name)
    base = {
        "--federation": "new-fed",
        "--root": "r.key.pub",
        "--coordinator": "c.key.pub",
        options[0]: options[1],
    }
    assert (
        said
        in desk.fails(2, "registry", "init", *(word for pair in base.items() for word in pair))[
            "problem"
        ]
    )
    assert not Path("registry-000001.draft").exists()


def test_init_takes_what_is_asked_for(roots: World) -> None:
    desk = roots.desk
    for name in ("r1.key", "r2.key", "r3.key", "c.key", "a.key"):
        desk.ok("keygen", name)
    said = desk.ok(
        "registry",
        "init",
        "--federation",
        "new-fed",
        *(w for i in (1, 2, 3) for w in ("--root", f"r{i}.key.pub")),
        "--coordinator",
        "c.key.pub",
        "--auditor",
        "a.key.pub",
        "--genesis",
        "2027-01-01T01:00:00+01:00",
        "--window",
        "12h",
        "--epsilon",
        "2.5",
        "--unit",
        "record",
        "--minimum-support",
        "5",
    )
    assert (said["threshold"], len(said["roots"]), len(said["auditors"])) == (2, 3, 1)
    assert (said["genesis"], said["window_s"]) == ("2027-01-01T00:00:00+00:00", 43_200)
    assert said["budget"] == {
        "epsilon": "2.5",
        "delta": "0.0001",
        "unit": "record",
        "minimum_support": 5,
        "gossip_epsilon": "0",
        "gossip_delta": "0",
    }
    files = roots.files()
    assert (
        "not overwritten"
        in desk.fails(
            2,
            "registry",
            "init",
            "--federation",
            "new-fed",
            "--root",
            "r1.key.pub",
            "--coordinator",
            "c.key.pub",
        )["problem"]
    )
    assert roots.files() == files


def test_armour_is_strict_about_its_kind_and_its_content() -> None:
    text = wrap(Armour.DRAFT, bytes(range(200)))
    assert unwrap(f"Dear root,\n\n{text}\nregards", Armour.DRAFT, subject="mail") == (
        Armour.DRAFT,
        bytes(range(200)),
    )
    with pytest.raises(ConfigError, match="is a hyperfed unsigned registry"):
        unwrap(text, Armour.ENROLMENT, subject="mail")
    for broken in (
        text.replace("BEGIN", "BEGUN"),
        text.rsplit("-----END", 1)[0],
        "",
        text.replace("\n", "\n!", 1),
    ):
        with pytest.raises(ConfigError):
            unwrap(broken, Armour.DRAFT, subject="mail")


def test_version_1_is_published_under_the_fingerprint_compared_into_a_store_that_was_checked(
    desk: Desk,
) -> None:
    for name in ("r.key", "c.key"):
        desk.ok("keygen", name)
    for box in ("box", "unchecked"):
        (desk.folder / box).mkdir()
    drafted = desk.ok(
        "registry",
        "init",
        "--federation",
        "new-fed",
        "--root",
        "r.key.pub",
        "--coordinator",
        "c.key.pub",
    )
    signed = desk.ok("registry", "sign", drafted["file"], "--root-key", "r.key", "--yes")["file"]
    assert (
        desk.fails(
            1, "registry", "publish", signed, "--store", "file:box", "--fingerprint", "ab" * 32
        )["rule"]
        == "R-24"
    )
    assert list((desk.folder / "box").iterdir()) == []
    desk.ok(
        "registry",
        "publish",
        signed,
        "--store",
        "file:box",
        "--fingerprint",
        drafted["root_fingerprint"],
    )
    assert (desk.folder / "box" / "probe").is_dir(), "create-only writes were tried out"
    desk.ok("registry", "publish", signed, "--store", "file:unchecked", "--no-probe")
    assert not (desk.folder / "unchecked" / "probe").exists()


def test_the_floors_are_set_shown_and_signed(roots: World) -> None:
    desk = roots.desk
    drafted = desk.ok(
        "registry", "set", "--floor-privacy", "local", "--floor-trust-min-most", "0.3"
    )
    assert drafted["floors"]["privacy"] == "local"
    assert drafted["floors"]["sealed"] is True, "who names floors gets sealed bodies"
    _publish(desk, drafted["file"])
    floors = _newest(roots).floors
    assert floors is not None
    assert (floors.privacy, floors.trust_min_most) == ("local", 0.3)
    again = desk.ok("registry", "set", "--epsilon", "3", "--no-floor-sealed")
    signed = desk.ok("registry", "sign", again["file"], "--root-key", "root.key", "--yes")
    assert signed["changes"] == [
        "budget, epsilon: 10 -> 3",
        "floors, sealed: True -> False",
    ]
    _ = desk.ok("registry", "publish", signed["file"])
    said = desk.ok("registry", "show")
    assert (said["floors"]["privacy"], said["floors"]["sealed"]) == ("local", False)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "nothing to change"),
        (["--floor-vote-min", "0.3"], "one without the other bounds nothing"),
        (["--floor-trust-min-least", "0.4", "--floor-trust-min-most", "0.2"], "no plan can be"),
        (["--floor-privacy", "some"], "'some' is not one of"),
    ],
)
def test_floors_that_bound_nothing_are_wrong_usage(
    roots: World, options: list[str], problem: str
) -> None:
    before = roots.files()
    assert problem in roots.desk.fails(2, "registry", "set", *options)["problem"]
    assert roots.files() == before


def test_a_root_sees_what_differs_from_the_version_before(roots: World) -> None:
    desk = roots.desk
    roots.at(5)
    file, said = _enrol(desk, "nevada", "nevada.key")
    drafted = desk.ok("registry", "add", file, "--expect", said["fingerprint"])
    amended = desk.ok("registry", "revoke", "ohio", "--draft", drafted["file"])
    signed = desk.ok("registry", "sign", amended["file"], "--root-key", "root.key", "--yes")
    ohio = roots.federation.keys["ohio"].key_id
    assert signed["changes"] == [
        "client nevada: is new, of 'Nevada Bank', in basket 'banks'",
        f"client nevada: key {said['key_id']} is new, in rounds 5 on",
        f"client ohio, rounds of key {ohio}: 1 on -> 1 to 4",
    ]
    # what the second root is sent says the same
    second = desk.ok(
        "registry", "sign", signed["file"], "--root-key", "root.key", "--out", "2.signed", "--yes"
    )
    assert second["changes"] == signed["changes"]


def test_a_draft_that_shows_another_version_before_is_not_signed(roots: World) -> None:
    """Whoever carries the draft may want to hide a change: the draft names the digest."""
    desk = roots.desk
    _publish(desk, desk.ok("registry", "set", "--epsilon", "9")["file"])
    drafted = desk.ok("registry", "set", "--epsilon", "8")
    path = desk.folder / drafted["file"]
    lied = wrap(Armour.BEFORE, roots.federation.objects("registry/")["registry/000001"])
    begin = f"-----BEGIN {Armour.BEFORE}-----"
    path.write_text(path.read_text().split(begin)[0] + lied)
    error = desk.fails(1, "registry", "sign", drafted["file"], "--root-key", "root.key", "--yes")
    assert "another version" in error["problem"]
    assert not list(desk.folder.glob("registry-000003.*.signed"))
