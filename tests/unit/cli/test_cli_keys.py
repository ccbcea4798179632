"""Key files and passphrases on the command line: nobody else reads them, nothing overwrites them,
nothing prints them.
"""

import stat
from pathlib import Path

import pytest

from hyperfed.cli import invocation
from hyperfed.cli.files import Armour, read_armour
from hyperfed.crypto.keys import KeyPair
from hyperfed.registry.enrolment import read_enrolment
from tests.unit.cli.conftest import Desk

PASSPHRASE = "correct horse battery"


def test_a_key_is_only_its_owners(desk: Desk) -> None:
    said = desk.ok("keygen", "hospital.key")
    path = Path("hospital.key")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert said["key_id"] == KeyPair.load(path).key_id
    assert said["locked"] is False
    assert "seed" not in Path("hospital.key.pub").read_text()


def test_a_key_is_never_overwritten(desk: Desk) -> None:
    desk.ok("keygen", "hospital.key")
    before = {p: Path(p).read_bytes() for p in ("hospital.key", "hospital.key.pub")}
    assert "overwritten" in desk.fails(2, "keygen", "hospital.key")["problem"]
    Path("hospital.key").rename("elsewhere.key")
    assert "overwritten" in desk.fails(2, "keygen", "hospital.key")["problem"], (
        "nor is its public half"
    )
    assert {
        "hospital.key": Path("elsewhere.key").read_bytes(),
        "hospital.key.pub": Path("hospital.key.pub").read_bytes(),
    } == before
    assert not Path("hospital.key").exists()


def test_a_key_that_others_can_read_is_refused(desk: Desk, open_folder: Path) -> None:
    key = open_folder / "hospital.key"
    desk.ok("keygen", str(key))
    key.chmod(0o644)
    enroll = ("enroll", "--client-id", "hospital-1", "--organisation", "H", "--key", str(key))
    assert desk.fails(2, *enroll)["rule"] == "R-20"
    assert not Path("hospital-1.enrolment").exists()


def test_a_passphrase_from_the_environment_locks_and_opens_and_is_never_printed(desk: Desk) -> None:
    env = {"HYPERFED_PASSPHRASE": PASSPHRASE}
    made = desk("keygen", "hospital.key", env=env)
    assert made.code == 0
    assert PASSPHRASE not in made.out + made.err + Path("hospital.key").read_text()
    enrol = ("enroll", "--client-id", "hospital-1", "--organisation", "H", "--key", "hospital.key")
    locked = desk.fails(2, *enrol)
    assert locked["problem"] == "this key has a passphrase"
    assert "HYPERFED_PASSPHRASE" in locked["remedy"]
    wrong = desk(*enrol, env={"HYPERFED_PASSPHRASE": "a guess"})
    assert wrong.code == 2
    assert "wrong passphrase" in wrong.err
    assert "a guess" not in wrong.out + wrong.err
    assert not Path("hospital-1.enrolment").exists()
    said = desk.ok(*enrol, env=env)
    assert said["key_id"] == KeyPair.load(Path("hospital.key"), PASSPHRASE).key_id


def test_a_passphrase_is_asked_for_on_a_terminal(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    KeyPair.generate().save(Path("hospital.key"), PASSPHRASE)

    class Terminal:
        def isatty(self) -> bool:
            return True

    asked = []
    monkeypatch.setattr(invocation.sys, "stdin", Terminal())
    monkeypatch.setattr(
        invocation.click,
        "prompt",
        lambda text, **options: asked.append((text, options["hide_input"])) or PASSPHRASE,
    )
    assert (
        invocation.load_key(Path("hospital.key")).key_id
        == KeyPair.load(Path("hospital.key"), PASSPHRASE).key_id
    )
    assert asked == [("Passphrase of hospital.key", True)]


def test_an_empty_passphrase_is_refused(desk: Desk) -> None:
    assert (
        "protects nothing"
        in desk.fails(2, "keygen", "hospital.key", env={"HYPERFED_PASSPHRASE": ""})["problem"]
    )
    assert not Path("hospital.key").exists()
    assert (
        desk.ok("keygen", "hospital.key", "--no-passphrase", env={"HYPERFED_PASSPHRASE": "unused"})[
            "locked"
        ]
        is False
    )


def test_an_enrolment_holds_what_was_said_and_proves_possession(desk: Desk) -> None:
    made = desk.ok("keygen", "hospital.key")
    said = desk.ok(
        "enroll",
        "--client-id",
        "hospital-1",
        "--organisation",
        "General Hospital",
        "--basket",
        "hospitals",
        "--key",
        "hospital.key",
    )
    enrolment, fingerprint = read_enrolment(
        read_armour(Path(said["file"]), Armour.ENROLMENT)[1], now=desk.now
    )
    assert (enrolment.client_id, enrolment.organisation, enrolment.basket) == (
        "hospital-1",
        "General Hospital",
        "hospitals",
    )
    assert (enrolment.keys.key_id, fingerprint) == (made["key_id"], said["fingerprint"])
    told = desk(
        "enroll",
        "--client-id",
        "hospital-1",
        "--organisation",
        "H",
        "--key",
        "hospital.key",
        "--out",
        "second.enrolment",
    )
    assert any(
        len(line.split()) >= 17 and line.startswith("Fingerprint") for line in told.out.splitlines()
    ), "in groups, to be read out"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--client-id", "../etc"), 2, "not a client id"),
        (("--organisation", "a\x1b[2Jb"), 1, "printable"),
        (("--organisation", " "), 1, "printable"),
        (("--key", "missing.key"), 2, "no such key file"),
    ],
)
def test_what_cannot_be_enrolled(
    desk: Desk, options: tuple[str, str], code: int, said: str
) -> None:
    desk.ok("keygen", "hospital.key")
    base = {
        "--client-id": "hospital-1",
        "--organisation": "H",
        "--key": "hospital.key",
        options[0]: options[1],
    }
    assert (
        said
        in desk.fails(code, "enroll", *(word for pair in base.items() for word in pair))["problem"]
    )
    assert not list(desk.folder.glob("*.enrolment"))
