"""Bad input on the command line: a clear error, the right exit code, no traceback, and nothing
moved: not the drop-box, not a file on the desk.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from hyperfed.crypto.keys import KeyPair
from hyperfed.protocol.receipt_objects import (
    Fate,
)
from tests.unit.cli.conftest import Desk, World

EDGES = "source,target,lag,effect,confidence,stability\n"
GOOD = EDGES + "output,employment,1,0.5,0.9,0.8\n"


@pytest.fixture
def open_world(world: World) -> World:
    world.federation.open(1)
    return world


def _refused(world: World, code: int, *args: str | Path) -> dict[str, str]:
    """The error of a submit that must change nothing anywhere."""
    objects, files = world.objects(), world.files()
    error = world.desk.fails(code, "submit", *args)
    assert world.objects() == objects
    assert world.files() == files
    return error


def test_a_column_that_is_not_there(open_world: World) -> None:
    def rename(cells: list[list[str]]) -> None:
        cells[0][3] = "outptu"

    error = _refused(
        open_world, 1, "--data", open_world.data(change=rename), "--columns", "output,employment"
    )
    assert error["problem"] == "has no column 'output'"
    assert error["subject"].endswith("texas.csv")
    assert "outptu" in error["remedy"]


def test_a_file_with_no_column_of_the_round(open_world: World) -> None:
    path = open_world.desk.folder / "other.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    error = _refused(open_world, 1, "--data", path)
    assert error["problem"] == "no column is a variable of the round"
    assert "a, b" in error["remedy"]
    assert "public_capital" in error["remedy"]


def test_a_column_that_the_round_does_not_know(open_world: World) -> None:
    error = _refused(open_world, 1, "--data", open_world.data(), "--columns", "output,year")
    assert (error["problem"], error["subject"]) == ("unknown variable", "--columns 'year'")
    assert "unemployment" in error["remedy"]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("inf", "holds 'inf'"),
        ("unknown", "holds 'unknown', not a number"),
        ("1_5", "holds '1_5', with underscores"),
    ],
)
def test_a_cell_that_is_no_number(open_world: World, cell: str, said: str) -> None:
    def spoil(cells: list[list[str]]) -> None:
        cells[4][2] = cell

    error = _refused(open_world, 1, "--data", open_world.data(change=spoil))
    assert "line 5, column 'private_capital'" in error["problem"]
    assert said in error["problem"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            GOOD.replace("output,", "outptu,", 1),
            "line 2, column 'source': unknown variable 'outptu'",
        ),
        (GOOD.replace("0.9", "1.2"), "line 2, column 'confidence': 1.2 is outside [0, 1]"),
        (GOOD.replace("0.8", "-0.1"), "line 2, column 'stability': -0.1 is outside [0, 1]"),
        (GOOD.replace("0.5", "nan"), "line 2, column 'effect': holds 'nan', not a number"),
        (
            GOOD.replace(",1,", ",-1,"),
            "line 2, column 'lag': '-1' is not a whole number from 0 to 65535",
        ),
        (
            GOOD + "output,employment,1,0.4,0.9,0.8\n",
            "line 3: the edge output -> employment at lag 1 is in line 2 already",
        ),
        (
            GOOD + "output,output,0,0.4,0.9,0.8\n",
            "line 3, column 'lag': output acts on itself at lag 0",
        ),
        (GOOD + "output,employment\n", "line 3 has 2 cells where the header has 6"),
        (GOOD.replace("stability", "stabilty"), "has no column 'stability'"),
        (
            GOOD.replace("\n", ",extra\n", 1).replace("0.8", "0.8,1"),
            "has a column 'extra', which edges do not have",
        ),
        (
            GOOD.replace("stability\n", "stability,ci_low,ci_high\n").replace(
                "0.8\n", "0.8,0.4,\n"
            ),
            "line 2, column 'ci_high': is empty where",
        ),
        (
            GOOD.replace("stability\n", "stability,std_error\n").replace("0.8\n", "0.8,-1\n"),
            "line 2, column 'std_error': -1 is below 0",
        ),
        (
            GOOD.replace("stability\n", "stability,dof\n").replace("0.8\n", "0.8,5\n"),
            "dof says what ci_low and ci_high were taken from",
        ),
        (
            GOOD.replace("stability\n", "stability,ci_low,ci_high,dof\n").replace(
                "0.8\n", "0.8,0,1,0\n"
            ),
            "line 2, column 'dof': 0 is below 1",
        ),
        (
            GOOD.replace("stability\n", "stability,ci_low,ci_high,std_error\n").replace(
                "0.8\n", "0.8,0,1,1\n"
            ),
            "std_error takes the place",
        ),
        ("", "is empty"),
        ("a\n1\n", "has no column 'source'"),
        (EDGES, "holds no edges, and nothing says what was measured"),
    ],
)
def test_edges_that_break_a_rule(open_world: World, text: str, said: str) -> None:
    path = open_world.desk.folder / "edges.csv"
    path.write_text(text)
    error = _refused(open_world, 1, "--edges", path)
    assert said in error["problem"]
    assert error["subject"] == str(path)


def test_a_file_that_is_no_update(open_world: World) -> None:
    path = open_world.desk.folder / "photo.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)))
    assert _refused(open_world, 1, "--edges", path)["problem"] == (
        "is a picture, not a table of data"
    )
    path.write_bytes(b"x\n\xff\n")
    assert "is not text in UTF-8" in _refused(open_world, 1, "--data", path)["problem"]


def test_a_file_that_is_not_there(open_world: World) -> None:
    for option in ("--data", "--edges"):
        assert (
            _refused(open_world, 2, option, "missing.csv")["problem"]
            == "cannot be read: No such file or directory"
        )


def test_garbage_in_the_inbox_is_refused_and_the_night_goes_on(open_world: World) -> None:
    desk, federation = open_world.desk, open_world.federation
    federation.put(b"\xff\xd8 no update at all", "texas")
    for client in ("iowa", "ohio"):
        federation.submit(client)
    seen = desk("inspect", "inbox/00000001/texas/0", "--json")
    assert seen.code == 1
    assert seen.json["verified"] is False
    assert "no Hyperfed envelope" in " ".join(seen.json["notes"])
    federation.run(1)
    open_world.at(2)
    status = desk("status", "--json")
    assert status.code == 1
    assert status.json["headline"].startswith("refused in round 1 because ")
    assert status.json["receipts"][0]["remedy"]
    told = desk("status")
    assert "refused in round 1 because" in told.out
    assert "What to do" in told.out
    ohio = desk.ok("status", "--client-id", "ohio", "--key", "ohio.key")
    assert ohio["headline"] == "counted in round 1"


def test_a_key_that_is_not_registered(open_world: World) -> None:
    KeyPair.generate().save(open_world.desk.folder / "stranger.key")
    error = _refused(open_world, 1, "--data", open_world.data(), "--key", "stranger.key")
    assert (error["kind"], error["rule"], error["subject"]) == (
        "RegistryError",
        "R-81",
        "client texas",
    )
    assert "enrol" in error["remedy"]


def test_a_client_that_is_not_registered(open_world: World) -> None:
    error = _refused(open_world, 1, "--data", open_world.data(), "--client-id", "nevada")
    assert (error["kind"], error["subject"]) == ("RegistryError", "client 'nevada'")


def test_no_object_store(open_world: World) -> None:
    error = _refused(
        open_world, 2, "--data", open_world.data(), "--store", "file:///nonexistent/box"
    )
    assert error["problem"] == "there is no such folder"


def test_a_drop_box_without_a_registry(desk: Desk, world: World) -> None:
    (desk.folder / "empty").mkdir()
    error = desk.fails(1, "submit", "--data", world.data(), "--store", "file:empty")
    assert "no registry" in error["problem"]
    assert list((desk.folder / "empty").iterdir()) == []


def test_another_federation_behind_the_same_address(open_world: World) -> None:
    error = _refused(open_world, 1, "--data", open_world.data(), "--fingerprint", "ab" * 32)
    assert (error["kind"], error["rule"]) == ("RegistryError", "R-24")
    assert open_world.federation.fingerprint in error["problem"]


def test_nobody_compared_a_fingerprint(open_world: World) -> None:
    config = open_world.desk.folder / "hyperfed.toml"
    config.write_text(config.read_text().replace("fingerprint", "#fingerprint"))
    error = _refused(open_world, 2, "--data", open_world.data())
    assert error["rule"] == "R-24"
    for command in ("pull", "status"):
        assert open_world.desk.fails(2, command)["rule"] == "R-24"


def test_a_round_that_is_not_open(world: World) -> None:
    error = _refused(world, 4, "--data", world.data())
    assert (error["problem"], error["subject"]) == ("is not open", "round 1")


def test_an_empty_night(open_world: World) -> None:
    """Nobody submits: the round fails saying so, and every client learns that it was void once it
    is.
    """
    desk, federation = open_world.desk, open_world.federation
    before = desk.ok("round", "status")
    assert (before["outcome"], before["present"], before["missing"]) == (
        "open",
        [],
        ["iowa", "ohio", "texas"],
    )
    federation.open(2)
    federation.submit_all(round_id=2)
    federation.run(2)  # voids round 1, whose close_by is past
    open_world.at(3)
    status = desk.ok("status")
    assert status["headline"] == "counted in round 2"
    assert [r["fate"] for r in status["receipts"]] == [Fate.COUNTED.value, Fate.VOID.value]
    first = desk.ok("round", "status", "1")
    assert first["outcome"] == "void"
    assert first["void_because"]


def test_data_that_an_engine_cannot_use(open_world: World) -> None:
    def flatten(cells: list[list[str]]) -> None:
        for row in cells[1:]:
            row[1] = "1.0"

    assert (
        "column 'public_capital' is constant"
        in _refused(open_world, 1, "--data", open_world.data(change=flatten))["problem"]
    )

    def shorten(cells: list[list[str]]) -> None:
        del cells[5:]

    assert (
        "too few" in _refused(open_world, 1, "--data", open_world.data(change=shorten))["problem"]
    )


ENGINES: list[tuple[str, str, int, str]] = [
    ("nothing", "", 2, "there is no such engine"),
    ("no_such_module_at_all:make", "", 2, "cannot be imported"),
    ("my_engine:missing", "make = object", 2, "cannot be imported"),
    ("my_engine:make", "make = object", 2, "has no method discover()"),
    ("my_engine:make", "def make():\n    raise KeyError('x')", 1, "failed: KeyError"),
    (
        "my_engine:make",
        "class make:\n    def discover(self):\n        return 1 / 0",
        1,
        "failed: ZeroDivisionError",
    ),
    (
        "my_engine:make",
        "class make:\n    def discover(self):\n        return 7",
        1,
        "discover() returned a int",
    ),
]


@pytest.mark.parametrize(("factory", "code", "exit_code", "said"), ENGINES)
def test_an_engine_that_fails(
    open_world: World,
    monkeypatch: pytest.MonkeyPatch,
    fresh_module: Callable[[str, str], None],
    factory: str,
    code: str,
    exit_code: int,
    said: str,
) -> None:
    fresh_module("my_engine", code)
    objects = open_world.objects()
    assert said in open_world.desk.fails(exit_code, "submit", "--engine", factory)["problem"]
    assert open_world.objects() == objects


@pytest.fixture
def fresh_module(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes a module into the working directory that no earlier test has imported."""
    import importlib
    import sys

    def write(name: str, code: str) -> None:
        (desk.folder / f"{name}.py").write_text(code)
        monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()

    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return write


def test_nothing_and_too_much_to_submit(open_world: World) -> None:
    assert _refused(open_world, 2)["problem"] == "nothing to submit"
    assert (
        "--edges goes without"
        in _refused(open_world, 2, "--edges", "e.csv", "--data", "d.csv")["problem"]
    )


def test_all_slots_are_used(open_world: World) -> None:
    for _ in range(4):
        open_world.desk.ok("submit", "--data", open_world.data(), "--bootstraps", "5")
    error = open_world.desk.fails(1, "submit", "--data", open_world.data(), "--bootstraps", "5")
    assert (error["rule"], error["problem"]) == ("R-93", "all 4 slots of round 1 are used")


def test_a_result_that_was_swapped_is_not_believed(world: World) -> None:
    """What `pull` fetched before stays; nothing of the swapped result is written."""
    world.night(1)
    world.night(2)
    desk = world.desk
    desk.ok("pull", "--out", "model")
    kept = world.files()
    result = world.box / "rounds" / "00000002" / "result"
    result.chmod(0o640)
    result.write_bytes((world.box / "rounds" / "00000001" / "result").read_bytes())
    error = desk.fails(1, "pull", "--out", "model")
    assert error["rule"] == "R-51"
    assert {
        name: data for name, data in world.files().items() if not name.endswith("memory.json")
    } == {name: data for name, data in kept.items() if not name.endswith("memory.json")}


def test_a_folder_where_a_file_belongs_is_named_by_every_command(world: World) -> None:
    """`.` has no name of its own, to which an ending could be added."""
    print_ = "a" * 64
    for args in (
        ("keygen", "."),
        ("status", "--links", "."),
        ("enroll", "--client-id", "texas", "--organisation", "T", "--key", "."),
        ("enroll", "--organisation", "T", "--key", "texas.key", "--out", "."),
        ("submit", "--data", "."),
        ("registry", "add", "."),
        ("pull", "--key", ".", "--fingerprint", print_),
    ):
        ran = world.desk(*args)
        assert ran.code in (1, 2, 4), (args, ran)
        assert "please report" not in ran.err
