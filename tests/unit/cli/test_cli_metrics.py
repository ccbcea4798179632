"""`hyperfed metrics`: the newest ended round's figures, printed or as a file for Prometheus."""

from pathlib import Path

from tests.unit.cli.conftest import World


def test_the_newest_ended_round_is_printed_and_written(world: World) -> None:
    assert world.desk.fails(4, "metrics")["problem"] == "no round has ended yet"
    world.federation.play(1)
    world.federation.open(2)
    world.at(2)
    shown = world.desk("metrics")
    assert shown.code == 0
    assert 'hyperfed_round{federation="small-fed"} 1.0\n' in shown.out
    folder = Path("collector")
    before = world.objects()
    said = world.desk.ok("metrics", "--out", folder)
    assert [path.name for path in folder.iterdir()] == ["hyperfed_small-fed.prom"]
    assert (folder / "hyperfed_small-fed.prom").read_text() == said["text"] == shown.out
    assert world.objects() == before
