"""What `hyperfed submit` sends, and what it shows before it sends anything."""

import sys
from decimal import Decimal
from pathlib import Path

import pytest

from hyperfed.cli.operator.inspected_content import content_of
from hyperfed.demo import VARIABLES
from hyperfed.packets import SumsPolicy, Update
from hyperfed.registry.registry import Budget
from hyperfed.validator.admission import Admission
from hyperfed.validator.validator import PacketValidator
from tests.unit.cli.conftest import Desk, World


def _received(world: World, client: str = "texas") -> Update:
    """The update the coordinator finds in the inbox, opened with its key."""
    key = f"inbox/00000001/{client}/0"
    data = world.federation.store.read(key, max_bytes=1 << 20)
    admitted = PacketValidator(world.federation.registry).reopen(
        data,
        key=key,
        client=client,
        made_for=1,
        key_pair=world.federation.coordinator,
        base_of=lambda client, digest: None,
    )
    assert admitted.update is not None
    return admitted.update


def test_a_dry_run_shows_all_that_would_leave_and_writes_nothing(world: World) -> None:
    world.federation.open(1, stability_min=0.3)
    data = world.data()
    objects, files = world.objects(), world.files()
    said = world.desk.ok("submit", "--data", data, "--dry-run", "--seed", "3")
    assert (world.objects(), world.files()) == (objects, files)
    assert said["dry_run"] is True
    assert said["measured"] == list(VARIABLES)
    assert said["columns_left_out"] == ["year"]
    assert said["edges_shared"] < 25
    assert said["edges_shared"] + said["edges_estimated"] == len(said["edges"]) == 25
    assert said["edges_held_back"] == 0
    votes = [row for row in said["edges"] if row["confidence"] > 0]
    assert len(votes) == said["edges_shared"]
    assert all(row["stability"] >= 0.3 for row in votes)
    assert all(row["stability"] == 0 for row in said["edges"] if row not in votes)
    assert said["sealed_to"] == [world.federation.coordinator.key_id]
    told = world.desk("submit", "--data", data, "--dry-run", "--seed", "3")
    assert told.code == 0
    assert "nothing: this was a dry run" in told.out
    assert (world.objects(), world.files()) == (objects, files)

    world.desk.ok("submit", "--data", data, "--seed", "3")
    sent = _received(world).edges
    assert sent is not None
    rows = [
        {**row, "source": VARIABLES[int(row["source"])], "target": VARIABLES[int(row["target"])]}
        for row in sent.rows()
    ]
    order = sorted(
        said["edges"],
        key=lambda row: (
            VARIABLES.index(row["source"]),
            VARIABLES.index(row["target"]),
            row["lag"],
        ),
    )
    assert order == rows, "what was shown is what was sent"


def test_a_dry_run_needs_no_passphrase(world: World) -> None:
    world.federation.open(1)
    Path("texas.key").unlink()
    world.federation.keys["texas"].save(Path("texas.key"), "a passphrase")
    assert (
        world.desk.ok("submit", "--data", world.data(), "--dry-run", "--bootstraps", "5")["dry_run"]
        is True
    )
    assert (
        world.desk.fails(2, "submit", "--data", world.data(), "--bootstraps", "5")["problem"]
        == "this key has a passphrase"
    )


def test_only_the_columns_that_were_named_are_measured(world: World) -> None:
    world.federation.open(1)
    said = world.desk.ok(
        "submit", "--data", world.data(), "--columns", "output, employment", "--lags", "1,2"
    )
    assert said["measured"] == ["output", "employment"]
    assert said["not_measured"] == ["public_capital", "private_capital", "unemployment"]
    update = _received(world)
    assert update.measured.tolist() == [2, 3]
    assert update.lags == (1, 2)


def test_the_plan_names_the_lags_and_others_are_refused_with_both(world: World) -> None:
    world.federation.open(1, lags=(0, 1, 2))
    objects = world.objects()
    for words in (("--lags", "1"), ("--lags", "1,2,3")):
        error = world.desk.fails(2, "submit", "--data", world.data(), *words)
        given = words[1].replace(",", ", ")
        assert error["problem"] == f"says {given}, and the plan of round 1 says 0, 1, 2"
        assert "--lags" in error["subject"]
        assert "Leave it out" in error["remedy"]
    assert world.objects() == objects, "nothing was sent"
    few = ("--columns", "output,employment")
    said = world.desk.ok("submit", "--data", world.data(), *few)
    assert (said["lags"], said["lags_not_looked_at"]) == ([1, 2], [0])
    update = _received(world)
    assert update.lags == (1, 2)
    told = world.desk("submit", "--data", world.data(), *few, "--lags", "1,2", "--dry-run")
    assert "1, 2; not 0, where you have no vote" in told.out
    assert world.desk.ok("submit", "--data", world.data(), "--lags", "0,1,2", "--dry-run")


def test_too_few_rows_for_a_lag_of_the_plan_are_told(world: World) -> None:
    world.federation.open(1, lags=(1, 2))
    said = world.desk.ok("submit", "--data", world.data())
    assert (said["lags"], said["lags_not_looked_at"]) == ([1], [2])
    assert said["notes"] == ["16 rows of 5 columns are too few for lag 2: there you have no vote"]
    assert _received(world).lags == (1,)


def test_a_plan_of_lag_0_alone_is_not_for_the_built_in_engine(world: World) -> None:
    world.federation.open(1, lags=(0,))
    error = world.desk.fails(2, "submit", "--data", world.data())
    assert "looks at lag 0 alone" in error["problem"]
    assert "--engine" in error["remedy"]


def test_where_the_plan_names_no_lags_the_client_chooses_and_says_so(world: World) -> None:
    world.federation.open(1, max_lag=3)
    assert world.desk.ok("submit", "--data", world.data(), "--dry-run")["lags"] == [1]
    assert (
        "up to 3" in world.desk.fails(2, "submit", "--data", world.data(), "--lags", "4")["problem"]
    )
    assert world.desk.ok("submit", "--data", world.data(), "--lags", "3")["lags"] == [3]
    assert _received(world).lags == (3,)


def test_finished_edges_say_at_which_lags_they_were_looked_for(world: World) -> None:
    world.federation.open(1, lags=(0, 1, 2))
    path = Path("edges.csv")
    path.write_text(
        "source,target,lag,effect,confidence,stability\n"
        "output,employment,1,0.5,0.9,0.8\noutput,employment,3,0.5,0.9,0.8\n"
    )
    said = world.desk.ok("submit", "--edges", path, "--dry-run")
    assert (said["lags"], said["lags_not_looked_at"]) == ([1], [0, 2])
    assert said["edges_held_back"] == 1, "lag 3 is none of the plan's"
    path.write_text(path.read_text().rpartition("output")[0])
    world.desk.ok("submit", "--edges", path, "--lags", "0,1")
    assert _received(world).lags == (0, 1)
    for lags, code, problem in (
        ("1,3", 2, "says 1, 3, and the plan of round 1 says 0, 1, 2"),
        ("0", 1, "has an edge at lag 1, which --lags does not name"),
    ):
        error = world.desk.fails(code, "submit", "--edges", path, "--lags", lags)
        assert error["problem"] == problem


def test_finished_edges_are_sent_as_they_are(world: World) -> None:
    world.federation.open(1)
    path = Path("edges.csv")
    path.write_text(
        "effect,source,target,lag,confidence,stability,hits,n,ci_low,ci_high\n"
        "0.5,output,employment,1,0.9,0.8,40,16,0.2,0.8\n"
        "-0.25,output,unemployment,0,1,0.05,7,16,-0.5,0\n"
    )
    said = world.desk.ok(
        "submit", "--edges", path, "--measured", "output,employment,unemployment,public_capital"
    )
    assert (said["edges_shared"], said["edges_estimated"], said["edges_held_back"]) == (1, 1, 0), (
        "by the policy's stability_min the second has no vote"
    )
    update = _received(world)
    assert update.measured.tolist() == [0, 2, 3, 4], (
        "measured without an edge is a vote against one"
    )
    assert update.edges is not None
    assert [dict(row) for row in update.edges.rows()] == [
        {
            "source": 2,
            "target": 3,
            "lag": 1,
            "effect": 0.5,
            "confidence": 0.9,
            "stability": 0.8,
            "hits": 40,
            "n": 16,
            "ci_low": 0.2,
            "ci_high": 0.8,
        },
        {
            "source": 2,
            "target": 4,
            "lag": 0,
            "effect": -0.25,
            "confidence": 0.0,
            "stability": 0.0,
            "hits": 0,
            "n": 16,
            "ci_low": -0.5,
            "ci_high": 0.0,
        },
    ]


@pytest.mark.parametrize(
    ("header", "first", "second"),
    [
        ("std_error", "0.1", ""),
        ("ci_low,ci_high", "0.304003601545995,0.695996398454005", ","),
        ("ci_low,ci_high,dof", "0.24294181643636854,0.7570581835636315,5", ",,5"),
    ],
)
def test_errors_and_t_intervals_of_finished_edges_leave_as_what_travels(
    world: World, header: str, first: str, second: str
) -> None:
    world.federation.open(1)
    path = Path("edges.csv")
    path.write_text(
        f"source,target,lag,effect,confidence,stability,{header}\noutput,employment,1,0.5,0.9,0.8,{first}\noutput,unemployment,1,-0.25,0.9,0.8,{second}\n"
    )
    shown, unknown = world.desk.ok("submit", "--edges", path, "--dry-run")["edges"]
    assert (shown["ci_high"] - shown["ci_low"]) / (2 * 1.959963984540054) == pytest.approx(
        0.1, rel=1e-6
    )
    assert (unknown["ci_low"], unknown["ci_high"]) == (None, None)


def test_ones_own_engine_gets_the_data(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.federation.open(1)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "their_engine", raising=False)
    Path("their_engine.py").write_text(
        "import pathlib\n"
        "from hyperfed.engines import Discovery\n"
        "class Engine:\n"
        "    def __init__(self, path=None): self.path = path\n"
        "    def discover(self):\n"
        "        n = len(pathlib.Path(self.path).read_text().splitlines()) - 1 if self.path "
        "else 0\n"
        "        return Discovery(variables=('output', 'employment', 'weather'), "
        "source=['output', 'weather'], target=['employment', 'output'],\n"
        "                         lag=[1, 1], effect=[0.5, 2.0], confidence=[0.9, 0.9], "
        "stability=[0.8, 0.8], n=n)\n"
    )
    said = world.desk.ok("submit", "--engine", "their_engine:Engine", "--data", world.data())
    assert said["measured"] == ["output", "employment"]
    assert said["edges_shared"] == 1
    update = _received(world)
    assert update.edges is not None
    assert update.edges.n.tolist() == [16], "the rows of the file it was given"
    assert (
        world.desk.ok("submit", "--engine", "their_engine:Engine", "--dry-run")["edges"][0]["n"]
        == 0
    ), "without --data it is made without arguments"


def test_a_second_submit_corrects_the_first(world: World) -> None:
    world.federation.open(1)
    first = world.desk.ok("submit", "--data", world.data(), "--bootstraps", "5")
    second = world.desk.ok(
        "submit", "--data", world.data(), "--bootstraps", "5", "--columns", "output,employment"
    )
    assert (second["key"], second["sequence"]) == ("inbox/00000001/texas/1", first["sequence"] + 1)
    judged: Admission = world.federation.judge(1)
    assert [(a.client, a.sequence) for a in judged.admitted] == [("texas", second["sequence"])]
    status = world.desk("status", "--json")
    assert status.json["open_round"]["updates"] == 2


def test_the_memory_lies_beside_the_key_unless_told_otherwise(world: World) -> None:
    world.federation.open(1)
    world.desk.ok("submit", "--data", world.data(), "--bootstraps", "5")
    assert Path("texas.memory.json").exists()
    world.desk.ok(
        "submit", "--data", world.data(), "--bootstraps", "5", "--memory", "seen/other.json"
    )
    assert Path("seen/other.json").exists()


def test_a_rolled_back_drop_box_is_noticed(world: World) -> None:
    """The ledger this client has seen is longer than the one it is shown: it submits nothing."""
    world.night(1)
    world.desk.ok("pull")
    world.federation.open(2)
    (world.box / "ledger" / "000000000002").unlink()
    objects = world.objects()
    assert (
        world.desk.fails(1, "submit", "--data", world.data(), "--bootstraps", "5")["rule"]
        == "R-113"
    )
    assert world.objects() == objects


# -- private rounds --------------------------------------------------------------------------------

PRIVATE = {"strategy": "mean", "trust_min": 0, "max_lag": 1}


def test_a_dry_run_before_local_noise_shows_what_would_be_noised_and_draws_nothing(
    world: World,
) -> None:
    world.federation.open(1, privacy="local", **PRIVATE)
    data = world.data()
    objects, files = world.objects(), world.files()
    said = world.desk.ok("submit", "--data", data, "--dry-run", "--bootstraps", "5")
    assert (world.objects(), world.files()) == (objects, files)
    slots = len(VARIABLES) * (len(VARIABLES) - 1) + len(VARIABLES) ** 2
    assert (said["noise"]["values"], said["noise"]["unit"], said["noise"]["epsilon"]) == (
        slots,
        "client",
        "1.0926",
    )
    told = world.desk("submit", "--data", data, "--dry-run", "--bootstraps", "5").out
    for words in (
        "Before the noise",
        f"each of the {slots} possible edges",
        "epsilon 1.0926",
        "nothing: this was a dry run",
    ):
        assert words in told


def test_a_noised_update_is_sent_once_and_the_client_is_told_what_it_has_left(world: World) -> None:
    world.federation.open(1, privacy="local", **PRIVATE)
    said = world.desk.ok("submit", "--data", world.data(), "--bootstraps", "5")
    assert 0 < said["own_budget_spent_share"] < 0.05
    assert _received(world).claims.clip_norm == 1.0
    before = world.objects()
    failed = world.desk.fails(1, "submit", "--data", world.data(), "--bootstraps", "5")
    assert (failed["rule"], world.objects()) == ("R-98", before)


@pytest.mark.parametrize("place", ["option", "configuration"])
@pytest.mark.parametrize("privacy", ["central", "local"])
def test_a_record_bound_is_attested_where_records_are_protected(
    world: World, place: str, privacy: str
) -> None:
    world.federation.amend(budget=Budget(unit="record"))
    world.federation.open(1, privacy=privacy, record_bound=0.05, **PRIVATE)
    command = ("submit", "--data", world.data(), "--bootstraps", "5")
    before = world.objects()
    assert "[client] record_bound" in world.desk.fails(1, *command)["remedy"]
    assert world.objects() == before
    if place == "option":
        world.desk.ok(*command, "--record-bound", "0.04")
    else:
        Path("hyperfed.toml").write_text(world.config("texas") + "record_bound = 0.04\n")
        world.desk.ok(*command)
    assert _received(world).claims.record_bound == 0.04
    (admitted,) = world.federation.judge().admitted
    assert admitted.client == "texas"


def test_an_engine_that_takes_lags_is_told_those_of_the_plan(world: World) -> None:
    Path("lagged_engine.py").write_text(
        "from hyperfed.engines import Discovery\n"
        "class Engine:\n"
        "    def __init__(self, path=None, *, lags=(7,)):\n"
        "        self.lags = lags\n"
        "    def discover(self):\n"
        "        return Discovery(variables=('output', 'employment'), source=['output'],\n"
        "            target=['employment'], lag=[self.lags[-1]], effect=[0.5], confidence=1.0,\n"
        "            stability=1.0, lags=self.lags)\n"
    )
    world.federation.open(1, lags=(0, 3))
    said = world.desk.ok("submit", "--engine", "lagged_engine:Engine")
    assert (said["lags"], said["lags_not_looked_at"], said["edges_shared"]) == ([0, 3], [], 1)
    assert _received(world).lags == (0, 3)


def test_a_round_of_statistics_takes_moments_and_says_what_they_tell(world: World) -> None:
    world.federation.open(1, payload="statistics", lags=(1,))
    data = world.data()
    objects = world.objects()
    said = world.desk.ok("submit", "--data", data, "--dry-run")
    assert world.objects() == objects
    assert said["edges"] == []
    assert said["statistics"]["moments"] == 55
    shown = said["leaving_statistics"]
    assert shown["rows"] == said["statistics"]["rows"]
    assert {row["column"] for row in shown["variances"]} >= {"output", "output, 1 before"}
    told = world.desk("submit", "--data", data, "--dry-run")
    assert "any row, any mean" in told.out
    assert "What would leave the house: correlations" in told.out
    world.desk.ok("submit", "--data", data)
    sent = _received(world)
    assert sent.statistics is not None
    assert len(sent.edges or ()) == 0
    assert sent.statistics.n == shown["rows"]
    content = content_of(sent, world.federation.vocabulary)
    assert content["correlations"] == shown["correlations"]
    refused = world.desk.fails(2, "submit", "--edges", world.data())
    assert "no rows to make them of" in refused["problem"]


@pytest.mark.parametrize("place", ["central", "local"])
def test_a_private_round_of_statistics_says_what_noise_hides_a_row(desk: Desk, place: str) -> None:
    world = World(desk, budget=Budget(epsilon=Decimal(50), unit="record"))
    world.federation.open(
        1,
        payload="statistics",
        lags=(1,),
        privacy=place,
        strategy="mean",
        trust_min=0.0,
        max_staleness=0,
        statistics=SumsPolicy(row_norm=2.0),
    )
    objects = world.objects()
    for client in ("texas", "ohio"):
        (desk.folder / "hyperfed.toml").write_text(world.config(client))
        told = desk("submit", "--data", world.data(client), "--dry-run")
        assert "clipped to the plan's norm" in told.out
        assert ("standard deviation" in told.out) == (place == "local")
        if client == "texas":
            assert world.objects() == objects
        said = desk.ok("submit", "--data", world.data(client))
        noise = said["noise"]
        assert (noise is not None) == (place == "local")
        if noise is not None:
            assert (noise["of"], noise["values"], noise["unit"]) == ("moments", 55, "record")
    sent = _received(world)
    assert sent.statistics is not None
    assert sent.statistics.form == {"central": "clipped", "local": "noised"}[place]
    world.federation.run(1)
    shown = desk("pull")
    assert "one row, not a person" in shown.out
    assert "one record of one client" in shown.out
