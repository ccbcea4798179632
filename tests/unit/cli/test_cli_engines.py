"""`--engine NAME` at `submit` and `discover`: tables, series, and what is known."""

import shutil
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from hyperfed.codec import PayloadCodec
from hyperfed.engines import Discovery, Interaction, catalogue
from hyperfed.errors import RefusedError
from hyperfed.packets import CausalSemanticPack, Knowledge, Update
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation
from tests.unit.cli.conftest import Desk
from tests.unit.cli.test_cli_submit import _received

pytestmark = pytest.mark.unit

FEW = ("--bootstraps", "5")


class Clinic:
    """A federation about x, y and z, and one client's table."""

    def __init__(self, desk: Desk) -> None:
        from datetime import timedelta

        from hyperfed.storage.filesystem import FilesystemStore

        (desk.folder / "box").mkdir()
        self.desk = desk
        self.federation = SmallFederation(
            clients=("iowa", "ohio", "texas"),
            store=FilesystemStore(desk.folder / "box"),
            vocabulary=Vocabulary.of("x", "y", "z"),
        )
        self.federation.keys["texas"].save(desk.folder / "texas.key")
        desk.now = self.federation.opens(1) + timedelta(hours=1)
        (desk.folder / "hyperfed.toml").write_text(
            '[store]\nurl = "file:box"\n[federation]\nfingerprint = '
            f'"{self.federation.fingerprint}"\n[client]\nid = "texas"\nkey = "texas.key"\n'
        )

    def table(self, *, dates: bool = False) -> Path:
        """x -> y <- z in 200 rows."""
        x, e, z = np.random.default_rng(0).uniform(-1, 1, (3, 200))
        y = 0.8 * x - 0.7 * z + 0.3 * e
        lines = ["patient,x,y,z" if not dates else "date,x,y,z"]
        days = np.datetime64("2024-01-01") + np.arange(200)
        for i, row in enumerate(zip(x, y, z, strict=True)):
            first = str(days[i]) if dates else f"p{(i * 7919) % 200}"
            lines.append(",".join([first, *(repr(float(v)) for v in row)]))
        path = self.desk.folder / "rows.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    def sent(self) -> Update:
        return _received(self)  # type: ignore[arg-type]


@pytest.fixture
def clinic(desk: Desk) -> Clinic:
    return Clinic(desk)


def test_a_table_goes_in_by_an_engine_for_tables(clinic: Clinic) -> None:
    clinic.federation.open(1, lags=(0, 1))
    said = clinic.desk.ok("submit", "--data", clinic.table(), "--engine", "pc", *FEW)
    assert (said["lags"], said["lags_not_looked_at"]) == ([0], [1])
    update = clinic.sent()
    assert update.edges is not None
    pairs = zip(update.edges.source.tolist(), update.edges.target.tolist(), strict=True)
    assert {(0, 1), (2, 1)} <= set(pairs)
    assert update.lags == (0,)
    assert update.semantic is not None
    assert {edge[:2] for edge in update.semantic.dag_edges} >= {(0, 1), (2, 1)}


def test_auto_chooses_by_the_data_and_says_why(clinic: Clinic) -> None:
    clinic.federation.open(1, lags=(0, 1))
    said = clinic.desk.ok("discover", "--data", clinic.table(), "--engine", "auto", *FEW)
    why = next(note for note in said["notes"] if note.startswith("engine pc: rows are no steps"))
    assert "1 of 3 columns (y ...) may be normal" in why
    assert said["lags"] == [0]
    timed = clinic.table(dates=True)
    said = clinic.desk.ok("discover", "--data", timed, "--engine", "auto", *FEW)
    assert any(note == "engine var: rows are steps in time" for note in said["notes"])
    assert said["lags"] == [1]
    said = clinic.desk.ok(
        "discover", "--data", timed, "--engine", "varlingam", "--lags", "0,1", *FEW
    )
    assert said["lags"] == [0, 1]


def test_a_plan_without_lag_0_has_no_place_for_a_table(clinic: Clinic) -> None:
    clinic.federation.open(1, lags=(1, 2))
    error = clinic.desk.fails(2, "submit", "--data", clinic.table(), "--engine", "ges", *FEW)
    assert error["problem"].startswith("looks at no lag 0")
    assert "ask the operator for lag 0" in error["remedy"]


def test_what_does_not_go_with_an_engine_is_refused(clinic: Clinic) -> None:
    clinic.federation.open(1)
    table = clinic.table()
    error = clinic.desk.fails(2, "submit", "--data", table, "--engine", "pc", "--time", "patient")
    assert error["problem"] == "--time goes with an engine for time series"
    error = clinic.desk.fails(2, "submit", "--data", table, "--engine", "pcmci")
    assert error["problem"] == "there is no such engine"
    assert "fci, ges, lingam, pc, var, varlingam" in error["remedy"]
    error = clinic.desk.fails(2, "discover", "--engine", "pc")
    assert error["problem"] == "no data are given"


def test_what_the_plan_knows_reaches_the_engine(clinic: Clinic) -> None:
    known = Knowledge(tiers=(("y",), ("x",), ("z",)))
    clinic.federation.open(1, lags=(0,), knowledge=known)
    clinic.desk.ok("submit", "--data", clinic.table(), "--engine", "pc", *FEW)
    update = clinic.sent()
    assert update.edges is not None
    pairs = set(zip(update.edges.source.tolist(), update.edges.target.tolist(), strict=True))
    assert not pairs & {(0, 1), (2, 1), (2, 0)}


def test_an_experiment_is_named_and_nothing_acts_on_what_it_set(clinic: Clinic) -> None:
    clinic.federation.open(1, lags=(0,))
    words = ("submit", "--data", clinic.table(), "--engine", "pc", "--intervened", "y", *FEW)
    clinic.desk.ok(*words)
    update = clinic.sent()
    assert update.semantic is not None
    assert update.semantic.interventions == [{"variable": 1}]
    assert update.edges is not None
    assert 1 not in update.edges.target.tolist()
    error = clinic.desk.fails(1, *words[:-3], "w", *FEW)
    assert "intervened names 'w'" in error["problem"]


class OwnEngine:
    """Another library's engine, as a package offers it."""

    reads = "table"

    def __init__(self, values: np.ndarray, names: tuple[str, ...]) -> None:
        self.values, self.names = values, names

    def discover(self) -> Discovery:
        """All that a discovery can say, with numbers that have no short decimal form."""
        third, n = 1 / 3, len(self.values)
        return Discovery(
            variables=self.names,
            source=["x", "y", "z"],
            target=["y", "z", "y"],
            lag=[0, 0, 0],
            lags=(0,),
            effect=[third, -third, 1e-7 / 3],
            confidence=[1 - 1e-9 / 3, 2 / 3, 1e-5 / 3],
            stability=[third, 2 / 3, 1.0],
            std_error=[0.1 / 3, None, 1e20 / 3],
            hits=[33, 66, 100],
            n=n,
            endpoints=["-->", "o->", ""],
            bidirected=[("x", "z", 1.0), ("y", "z", 2 / 3)],
            interactions=[
                Interaction(
                    sources=("x", "z"),
                    target="y",
                    effect=third,
                    confidence=0.9 / 3,
                    stability=2 / 3,
                    std_error=0.07 / 3,
                    hits=7,
                    n=n,
                ),
                Interaction(
                    sources=("x", "y"), target="z", effect=-third, confidence=1.0, stability=third
                ),
            ],
            intervened=["x"],
            notes=("a note, with a comma",),
        )


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("pc", ()),
        ("ges", ()),
        ("fci", ()),
        ("lingam", ("--intervened", "x")),
        ("auto", ()),
        ("other", ()),
        ("var", ()),
        ("varlingam", ()),
    ],
)
def test_what_discover_wrote_is_submitted_with_the_bytes_of_a_direct_submit(
    clinic: Clinic, engine: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint(name="other", value=f"{__name__}:OwnEngine", group=catalogue.GROUP)
    monkeypatch.setattr(catalogue, "entry_points", lambda *, group: [point])
    desk, box = clinic.desk, clinic.desk.folder / "box"
    clinic.federation.open(1, lags=(0, 1))
    data = clinic.table(dates=engine.startswith("var"))
    given = ("--data", data, "--engine", engine, *words, *FEW)
    desk.ok("submit", *given)
    direct = clinic.sent()
    shutil.rmtree(box / "inbox")
    (desk.folder / "texas.memory.json").unlink()
    found = desk.ok("discover", *given, "--out", "found.csv")
    said = desk.ok("submit", "--edges", "found.csv")
    assert PayloadCodec().encode(clinic.sent()) == PayloadCodec().encode(direct)
    assert set(found["notes"]) <= set(said["notes"])
    assert direct.edges is not None
    assert len(direct.edges)
    if engine not in ("var", "varlingam", "lingam"):
        assert direct.semantic is not None
        assert direct.semantic.dag_edges
    if engine == "other":
        assert direct.semantic.confounders == [1, 2], "x was set, and acts on what z is by itself"
        assert direct.semantic.intervened == (0,)
        assert len(direct.hyperedges or ()) == 2


def test_a_dry_run_shows_what_leaves_beside_the_edges(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint(name="other", value=f"{__name__}:OwnEngine", group=catalogue.GROUP)
    monkeypatch.setattr(catalogue, "entry_points", lambda *, group: [point])
    clinic.federation.open(1, lags=(0,))
    words = ("submit", "--data", clinic.table(), "--engine", "other", "--dry-run")
    said = clinic.desk.ok(*words)
    assert said["intervened"] == ["x"]
    assert [one["sources"] for one in said["interactions"]] == [["x", "z"], ["x", "y"]]
    assert said["interactions"][0]["effect"] == 1 / 3
    assert {(one["source"], one["target"]) for one in said["directions"]} == {
        ("x", "y"),
        ("y", "z"),
    }
    told = clinic.desk(*words).out
    for part in ("x -> y", "x * z on y", "Experiments"):
        assert part in told


def test_what_is_known_is_told_to_discover(clinic: Clinic) -> None:
    (clinic.desk.folder / "known.toml").write_text('tiers = [["y"], ["x"], ["z"]]\n')
    words = ("discover", "--data", clinic.table(), "--engine", "pc", *FEW)
    plain = {(row["source"], row["target"]) for row in clinic.desk.ok(*words)["edges"]}
    assert {("x", "y"), ("z", "y")} <= plain
    told = clinic.desk.ok(*words, "--knowledge", "known.toml")["edges"]
    assert not {(row["source"], row["target"]) for row in told} & {("x", "y"), ("z", "y")}
    (clinic.desk.folder / "own.py").write_text("def make(): ...\n")
    error = clinic.desk.fails(2, "discover", "--engine", "own:make", "--knowledge", "known.toml")
    assert error["problem"] == "reaches no engine of your own"


def test_an_interrupt_while_it_discovers_sends_nothing(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hyperfed.engines import causal_learn

    clinic.federation.open(1, lags=(0,))
    before = sorted((clinic.desk.folder / "box").rglob("*"))

    def interrupt(self: object, data: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(causal_learn.PcFit, "votes", interrupt)
    ran = clinic.desk("submit", "--data", clinic.table(), "--engine", "pc", *FEW)
    assert ran.code != 0
    assert sorted((clinic.desk.folder / "box").rglob("*")) == before
    monkeypatch.undo()


def test_a_night_counts_an_experiment_doubly_and_keeps_the_plans_knowledge(
    clinic: Clinic,
) -> None:
    fed = clinic.federation
    known = Knowledge(tiers=(("z",), ("y",)))
    fed.open(1, lags=(0, 1), knowledge=known)
    assert fed.plan(1).policy.knowledge == known, "read back from the signed plan"
    chain = fed.update("iowa")  # x -> y -> z at lag 1
    assert chain.edges is not None
    first = replace(chain, edges=chain.edges.take(np.array([0])), lags=(1,))
    none = replace(first, edges=first.edges.take(np.array([], dtype=np.int64)))
    tried = CausalSemanticPack(interventions=[{"variable": 0}])
    fed.submit("iowa", replace(first, semantic=tried))
    fed.submit("ohio", none)
    fed.submit("texas", none)
    fed.run(1)
    found = fed.reader().result(1)
    assert found is not None
    vote = found.value.graph.evidence.edges.vote
    assert vote.tolist() == [pytest.approx(2 * 0.72 / 4)], "weight 2 of 4, not 1 of 3"
    assert found.value.graph.semantic.intervened == (0,)
    with pytest.raises(RefusedError, match="which the plan's knowledge forbids"):
        fed.submit("texas", chain)


def test_a_bar_shows_how_far_a_long_step_is_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hyperfed.cli.output import Output

    for terminal, as_json, shown in (
        (True, False, True),
        (False, False, False),
        (True, True, False),
    ):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        monkeypatch.setenv("FORCE_COLOR", "1")
        with Output(as_json=as_json).long_step("Discovering") as tell:
            tell(3, 10, 42.0)
        said = capsys.readouterr().err
        assert ("3 of 10, 42 s left" in said) == shown
