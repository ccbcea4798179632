"""What the roots renew and annul on the command line, and what `status` and `pull` say of it."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from hyperfed.protocol.machine import Why
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.annulments import Annulment
from hyperfed.storage.memory import MemoryStore
from tests.attack.test_a_round_ahead_of_its_time import void_of
from tests.unit.cli.conftest import Desk, World


@pytest.fixture
def roots(world: World) -> World:
    """The federation of `world` with its root key on the desk."""
    world.federation.roots[0].save(world.desk.folder / "root.key")
    return world


def publish(world: World, draft: str) -> list[str]:
    """Sign and publish a draft; what differs from the version before."""
    desk = world.desk
    signed = desk.ok("registry", "sign", draft, "--root-key", "root.key", "--yes")
    desk.ok("registry", "publish", signed["file"])
    world.federation.registry = world.federation.reader().registry
    return list(signed["changes"] or [])


def init(desk: Desk, *options: str) -> tuple[str, ...]:
    """The command line of `registry init`, with keys made for it."""
    for name in ("r.key", "c.key"):
        if not Path(name).exists():
            desk.ok("keygen", name)
    parties = ("--root", "r.key.pub", "--coordinator", "c.key.pub")
    return ("registry", "init", "--federation", "new-fed", *parties, *options)


# -- a term ----------------------------------------------------------------------------------------


def test_a_new_federation_has_the_term_that_is_asked_for_and_bounds_close_by(desk: Desk) -> None:
    said = desk.ok(*init(desk, "--for", "90d", "--close-windows", "2", "--out", "a.draft"))
    assert said["expires"] == (desk.now + timedelta(days=90)).isoformat()
    assert said["close_windows"] == 2
    said = desk.ok(*init(desk, "--out", "b.draft"))
    assert (said["expires"], said["close_windows"]) == (None, 7)
    said = desk.ok(*init(desk, "--close-windows", "0", "--out", "c.draft"))
    assert said["close_windows"] == 0


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--for", "59m"), "is too short"),
        (("--for", "soon"), "is no length of time"),
        (("--close-windows", "-1"), "-1"),
        (("--for", "1d", "--genesis", "2027-01-01T00:00:00Z"), "before it is issued or genesis"),
    ],
)
def test_a_term_that_makes_no_sense_is_wrong_usage(
    desk: Desk, options: tuple[str, ...], problem: str
) -> None:
    assert problem in desk.fails(2, *init(desk, *options))["problem"]
    assert not Path("registry-000001.draft").exists()


def test_a_version_that_expired_is_renewed_and_nothing_else_is_drafted_on_it(
    roots: World,
) -> None:
    desk = roots.desk
    roots.at(1)
    assert publish(roots, desk.ok("registry", "renew", "--for", "2d")["file"]) == [
        f"expires: none -> {desk.now + timedelta(days=2)}"
    ]
    desk.now += timedelta(days=1)
    kept = desk.ok("registry", "renew", "--close-windows", "3", "--out", "kept.draft")
    assert kept["expires"] == (desk.now + timedelta(days=1)).isoformat(), "as it was"
    desk.now += timedelta(days=30)
    files, objects = roots.files(), roots.objects()
    for refused in (
        ("registry", "revoke", "ohio"),
        ("registry", "renew", "--close-windows", "3"),
    ):
        error = desk.fails(1, *refused)
        assert (error["rule"], "registry renew --for" in error["remedy"]) == ("R-122", True)
    assert (roots.files(), roots.objects()) == (files, objects)
    drafted = desk.ok("registry", "renew", "--for", "90d", "--close-windows", "3")
    amended = desk.ok("registry", "revoke", "ohio", "--draft", drafted["file"])
    assert amended["expires"] == (desk.now + timedelta(days=90)).isoformat()
    publish(roots, drafted["file"])
    assert desk.ok("registry", "show")["close_windows"] == 3
    endless = desk.ok("registry", "renew", "--no-expiry")
    assert (endless["expires"], endless["close_windows"]) == (None, 3)


def test_who_names_no_term_or_two_renews_nothing(roots: World) -> None:
    files = roots.files()
    error = roots.desk.fails(2, "registry", "renew")
    assert error["problem"] == "nothing to change"
    error = roots.desk.fails(2, "registry", "renew", "--for", "9d", "--no-expiry")
    assert error["problem"] == "says twice when the version expires"
    assert roots.files() == files


# -- annulments ------------------------------------------------------------------------------------


def test_an_entry_is_annulled_and_everybody_is_told(roots: World) -> None:
    desk, fed = roots.desk, roots.federation
    fed.play(1)
    void_of(fed, 50_000)
    roots.at(2)
    (desk.folder / "texas.memory.json").unlink(missing_ok=True)
    assert desk.fails(1, "status")["rule"] == "R-115"
    assert desk.ok("registry", "show")["annulled"] == []
    drafted = desk.ok("registry", "annul", "3")
    changes = publish(roots, drafted["file"])
    digest = fed.reader().registry.annulled[0].digest.hex()
    assert changes == [f"entry 3, {digest[:16]}: decides nothing any more"]
    groups = " ".join(digest[i : i + 4] for i in range(0, 16, 4))
    told = f"the roots have annulled entry 3: {groups}: a void of round 50000"
    for command in ("status", "pull"):
        code = desk(command, "--json").json
        assert code["ledger_head"]["annulled"] == [told]
        assert told in " ".join(desk(command).out.split())
    assert desk.ok("round", "status", "1")["ledger_head"]["annulled"] == [told]
    assert told in desk.ok("audit")["remarks"]
    assert fed.play(2).why is Why.COMMITTED


def test_what_is_no_entry_of_this_ledger_is_not_annulled(roots: World, tmp_path: Path) -> None:
    desk, fed = roots.desk, roots.federation
    fed.play(1)
    own = tmp_path / "own"
    own.write_bytes(fed.objects()[Keys.ledger(2)])
    other = type(fed)(clients=2, name="other-fed")
    other.coordinator = fed.coordinator
    other.amend(coordinators=fed.registry.coordinators)
    other.play(1)
    foreign = tmp_path / "foreign"
    foreign.write_bytes(other.objects()[Keys.ledger(2)])
    plan, state = tmp_path / "plan", tmp_path / "state"
    plan.write_bytes(fed.objects()[Keys.plan(1)])
    state.write_bytes(fed.objects()[Keys.state(1)])
    fed.store.put_if_absent(Keys.ledger(3), fed.objects()[Keys.ledger(2)])
    files, objects = roots.files(), roots.objects()
    for code, options, said in (
        (2, (), "no entry is named"),
        (1, ("3",), "holds entry 2"),
        (4, ("7",), "the ledger has no such entry"),
        (1, ("--abandoned", own), "would be charged twice"),
        (1, ("--abandoned", foreign), "belongs to federation 'other-fed'"),
        (1, ("--abandoned", plan), "hyperfed/plan"),
        (1, ("2", "--abandoned-state", state), "is not the state that a commit of the abandoned"),
        (2, ("--abandoned", tmp_path / "nowhere"), "cannot be read"),
    ):
        assert said in desk.fails(code, "registry", "annul", *options)["problem"]
    assert (roots.files(), roots.objects()) == (files, objects)


def test_a_branch_is_abandoned_with_its_entries_and_its_sequences(
    roots: World, tmp_path: Path
) -> None:
    """What counted on the other branch is carried into the inbox of this one: it counts nowhere."""
    desk, fed = roots.desk, roots.federation
    fed.play(1)
    other = fed.twin(MemoryStore())
    fed.play(2, but=["texas"])
    other.memories["texas"].raise_to(sequence=6)
    other.play(2)
    branch = other.objects()
    names = []
    for sequence in (3, 4):
        path = tmp_path / f"{sequence:012d}"
        path.write_bytes(branch[Keys.ledger(sequence)])
        names += ["--abandoned", str(path)]
    roots.at(3)
    drafted = desk("registry", "annul", *names, "--out", "hasty.draft")
    assert "--abandoned-state" in drafted.err
    state = tmp_path / "state"
    state.write_bytes(branch[Keys.state(2)])
    changes = publish(
        roots, desk.ok("registry", "annul", *names, "--abandoned-state", state)["file"]
    )
    key_id = fed.keys["texas"].key_id
    assert f"least sequence of {key_id}: none -> 7" in changes
    assert sum("of an abandoned branch: its charge carries over" in line for line in changes) == 2
    said = desk("status", "--json").json["ledger_head"]["annulled"]
    assert [line.split(":")[0] for line in said] == [
        "the roots have abandoned the branch of entry 3",
        "the roots have abandoned the branch of entry 4",
    ]
    # the update that the other branch has counted, nonce and all, comes late
    fed.put(branch[Keys.inbox(2, "texas", 0)], "texas", round_id=2)
    fed.open(3)
    fed.submit_all(round_id=3, but=["texas"])
    judged = fed.judge(3)
    assert [(r.client, r.rule) for r in judged.refused] == [("texas", "R-89")]
    fed.memories["texas"] = other.memories["texas"]  # the honest twin goes on where it was
    fed.submit("texas", round_id=3)
    stage = fed.run(3)
    assert (stage.why, stage.counted) == (Why.COMMITTED, 3)


def test_annulments_are_kept_by_every_later_draft(roots: World) -> None:
    fed = roots.federation
    fed.play(1)
    publish(roots, roots.desk.ok("registry", "annul", "2")["file"])
    publish(roots, roots.desk.ok("registry", "set", "--epsilon", "9")["file"])
    annulled = fed.reader().registry.annulled
    assert [type(a) for a in annulled] == [Annulment]


def test_the_section_of_the_operations_page_as_written(world: World) -> None:
    """But for the branch of another bucket, which has a test of its own."""
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.split("\n## When the roots speak again\n")[1].split("\n## ")[0]
    commands = re.findall(r"^    hyperfed (.*)$", section, re.MULTILINE)
    assert len(commands) == 7
    desk, fed = world.desk, world.federation
    fed.roots[0].save(desk.folder / "root-1.key")
    fed.play(1)
    void_of(fed, 50_000)
    world.at(2)
    for command in commands:
        if "--abandoned" in command:
            continue
        words = command.replace("412", "3").split()
        desk.ok(*words, *(["--yes"] if words[1] == "sign" else []))
    registry = fed.reader().registry
    assert (registry.version, [a.sequence for a in registry.annulled]) == (3, [3])
    assert registry.expires is not None
    fed.registry = registry
    assert fed.play(2).why is Why.COMMITTED
