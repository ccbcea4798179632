"""`hyperfed carry in | out`: a night of a site without a network, on the command line."""

from tests.unit.cli.conftest import CLIENTS, World


def test_a_night_by_stick(world: World) -> None:
    desk, fed = world.desk, world.federation
    stick = desk.folder / "stick"
    stick.mkdir()
    fed.open(1)
    first = desk.ok("carry", "in", stick)
    assert "rounds/00000001/plan" in first["copied"]
    sent = desk.ok(
        "submit", "--store", f"file:{stick}", "--data", world.data(), "--bootstraps", "10"
    )
    assert not any(key.startswith("inbox/") for key in fed.objects()), (
        "the site reaches the stick only"
    )
    out = desk.ok("carry", "out", stick)
    assert (out["copied"], out["refused"]) == ([sent["key"]], [])
    fed.submit_all(but=["texas"])
    assert fed.run(1).counted == len(CLIENTS)
    world.at(2)
    told = desk("carry", "in", stick)
    assert told.code == 0
    assert "objects copied" in told.out
    assert desk.ok("status", "--store", f"file:{stick}")["headline"] == "counted in round 1"
    assert desk.ok("pull", "--store", f"file:{stick}")["clients"] == 3


def test_what_is_left_behind_is_named_and_is_the_exit_code(world: World) -> None:
    desk, fed = world.desk, world.federation
    stick = desk.folder / "stick"
    (stick / "inbox/00000001/ohio").mkdir(parents=True)
    fed.open(1)
    (stick / "inbox/00000001/ohio/0").write_bytes(fed.envelope("ohio"))
    before = world.objects()
    ran = desk("carry", "out", stick, "--json")
    assert (ran.code, ran.json["ok"]) == (1, False)
    assert [row["key"] for row in ran.json["refused"]] == ["inbox/00000001/ohio/0"]
    assert "inbox/00000001/ohio/0" in desk("carry", "out", stick).out
    assert world.objects() == before


def test_without_a_stick_or_a_fingerprint_nothing_is_carried(world: World) -> None:
    desk = world.desk
    assert "no such folder" in desk.fails(2, "carry", "in", desk.folder / "nothing")["problem"]
    config = desk.folder / "hyperfed.toml"
    config.write_text(
        "\n".join(line for line in config.read_text().splitlines() if "fingerprint" not in line)
    )
    assert "fingerprint is not set" in desk.fails(2, "carry", "in", desk.folder)["problem"]
