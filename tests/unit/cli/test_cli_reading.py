"""Reading what the federation knows on the command line: explain, compare, export."""

import pytest

from hyperfed.evidence import read_file
from tests.unit.cli.conftest import Desk, World

pytestmark = pytest.mark.unit


def test_explain_and_compare_say_what_the_ledger_commits_to(desk: Desk, world: World) -> None:
    desk.fails(4, "explain", "output", "employment")
    world.federation.play(1)
    world.at(2)
    edge = desk.ok("pull")["edges"][0]
    told = desk.ok("explain", edge["source"], edge["target"])
    assert edge in told["edges"]
    assert {"lag": edge["lag"], "status": "present"} in told["status"]
    said = desk("explain", edge["source"], edge["target"], "--round", "1")
    assert f"{edge['support']} of {edge['measured_by']} clients" in said.out
    assert "nobody" in desk.fails(1, "explain", "nobody", edge["target"])["subject"]
    assert desk.fails(4, "explain", "output", "employment", "--round", "7")["subject"] == "round 7"
    same = desk.ok("compare", "1", "1")
    assert same["changes"] == []
    assert same["counts"]["unchanged"] > 0
    assert "From round 1 to round 1" in desk("compare", "1", "1").out
    desk.fails(4, "compare", "1", "2")


def test_a_swapped_result_is_explained_to_nobody(desk: Desk, world: World) -> None:
    """Whoever runs the bucket replaces a result by a later one that the coordinator signed, too."""
    for round_id in (1, 2):
        world.federation.play(round_id)
    world.at(3)
    (first,), (second,) = (list(world.box.glob(f"rounds/0000000{n}/result*")) for n in (1, 2))
    first.write_bytes(second.read_bytes())
    for command in (("explain", "output", "employment", "--round", "1"), ("compare", "1", "2")):
        assert desk.fails(1, *command)["kind"] in ("RoundError", "SignatureError")


def test_export_writes_what_it_says_and_convert_makes_it_fit_for_submitting(
    desk: Desk, world: World
) -> None:
    assert "graphml" in desk.fails(2, "export", "--to", "word")["remedy"]
    world.federation.play(1)
    world.at(2)
    for name in ("json", "dagitty"):
        written = desk.ok("export", "--to", name)
        table = read_file(desk.folder / written["file"])
        assert len(table.pairs) == written["edges"] > 0
    assert "suppressed edges" in desk("export", "--to", "dagitty").out, "what is lost is said"
    edges = {(row.source, row.target, row.lag) for row in table.pairs}
    made = desk.ok("convert", "model.json", "--out", "edges.csv")
    assert made["edges"] == len(edges)
    world.federation.open(2)
    dry = desk.ok("submit", "--edges", "edges.csv", "--dry-run")
    assert {(e["source"], e["target"], e["lag"]) for e in dry["edges"]} <= edges
    bare = desk.folder / "graph.dot"
    bare.write_text("digraph g { output -> employment }")
    desk.fails(1, "convert", bare)
    estimated = desk.ok("convert", bare, "--rows", world.data())
    assert estimated["edges"] == 1


def test_report_writes_a_folder_whose_home_page_links_to_every_page(
    desk: Desk, world: World
) -> None:
    desk.fails(2, "report")
    for round_id in (1, 2):
        world.federation.play(round_id)
    world.at(3)
    told = desk.ok("report", "--out", "site", "--last", "1")
    assert told["rounds"] == 1
    assert told["pages"] == told["edges"] + 2
    home = (desk.folder / "site" / "index.html").read_text()
    pages = [path for path in (desk.folder / "site").rglob("*.html") if path.name != "index.html"]
    assert len(pages) == told["pages"] - 1
    for path in pages:
        assert f'href="{path.relative_to(desk.folder / "site")}"' in home
