"""README.md and docs/clients.md as a newcomer follows them: every command and every snippet, as
written and in order.

1. Two desks with the page's own file names: the client's and the operator's. What one sends the
   other is carried there. A client with links has a folder of its own.
2. Names that only stand for something are replaced (`stands_for`); the two questions of the
   ceremony are answered by --yes.
3. What happens between the commands without them is played by `Walk.before`: a round is opened,
   others submit, a night ends.
4. What is not run here says why in `ELSEWHERE`. The wheel is built and installed by a test of its
   own.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import hyperfed
from hyperfed.client.settings import load_settings
from hyperfed.demo import VARIABLES, series
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation
from tests.unit.cli.conftest import Desk
from tests.unit.links.signing_store import SigningStore, issuer

ROOT = Path(__file__).parents[3]
README, CLIENTS, OPERATIONS = (
    ROOT / name for name in ("README.md", "docs/clients.md", "docs/operations.md")
)
ELSEWHERE = {
    "make ": "tests/installation runs what is behind `make up`, the demonstration has tests of "
    "its own, setup made this environment",
    "pipx ": "test_the_wheel_is_what_the_pages_say",
    "hyperfed links ": "presigned URLs need an S3 server: tests/flow/test_links_and_flows.py, "
    "tests/installation",
    "hyperfed client init --client-id hospital-1 --links": "the same",
    "hyperfed pull --gossip ": "a federation whose roots gave gossip a share: test_cli_gossip.py",
    "hyperfed submit --round ": "tests/unit/cli/test_cli_standing.py: a round that is below quorum",
}
OPERATOR = ("registry",)
ENGINE = """
from hyperfed.engines import Discovery


class Engine:
    def discover(self) -> Discovery:
        names = ("output", "employment")
        ends = {"source": ["employment"], "target": ["output"], "lag": [1]}
        return Discovery(variables=names, **ends, effect=[0.4], confidence=[0.9], stability=[0.8])


def make_engine(path: str) -> Engine:
    return Engine()
"""
EDGES = "source,target,lag,effect,confidence,stability\noutput,employment,1,0.5,0.9,0.8\n"
START = [
    "client init",
    "enroll",
    "registry add",
    "registry sign",
    "registry publish",
    "submit",
    "status",
    "pull",
    "client timer",
]


def commands_of(page: Path) -> list[str]:
    """The page's indented command lines, in order, without their remarks."""
    return commands_in(page.read_text(encoding="utf-8"))


def commands_in(text: str) -> list[str]:
    """The same of a part of a page."""
    return re.findall(r"^ {4}((?:hyperfed|make|pipx|pip) .*?)(?:\s+#.*)?$", text, re.MULTILINE)


def snippets_of(page: Path) -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


class Walk:
    """A page's sandbox: a federation of two others, and a client that is not in it yet."""

    def __init__(self, desk: Desk, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.desk, self.client, self.monkeypatch = desk, client, monkeypatch
        self.box, self.stick = desk.folder / "box", desk.folder / "stick"
        for name in ("box", "stick", "client", "operator", "linked"):
            (desk.folder / name).mkdir()
        self.federation = SmallFederation(
            clients=("iowa", "ohio"),
            store=FilesystemStore(self.box),
            vocabulary=Vocabulary.of(*VARIABLES),
        )
        self.federation.roots[0].save(desk.folder / "operator" / "root-1.key")
        (desk.folder / "operator" / "hyperfed.toml").write_text(
            f'[store]\nurl = "file://{self.box}"\n[federation]\nfingerprint = '
            f'"{self.federation.fingerprint}"\n'
        )
        rows = [
            f"{1971 + i}-01-01," + ",".join(repr(float(v)) for v in row)
            for i, row in enumerate(series("texas"))
        ]
        (desk.folder / "client" / "tonight.csv").write_text(
            "\n".join([",".join(["date", *VARIABLES]), *rows]) + "\n"
        )
        patients = np.random.default_rng(0).uniform(-1, 1, (60, len(VARIABLES)))
        lines = [",".join(repr(float(v)) for v in row) for row in patients]
        (desk.folder / "client" / "patients.csv").write_text(
            "\n".join([",".join(VARIABLES), *lines]) + "\n"
        )
        package = desk.folder / "client" / "my_package"
        package.mkdir()
        (package / "discovery.py").write_text(ENGINE)
        (desk.folder / "client" / "edges.csv").write_text(EDGES)
        self.opened = self.ended = 0
        self.start(1)
        self.ran: list[str] = []

    def start(self, round_id: int) -> None:
        self.desk.now = self.federation.opens(round_id) + timedelta(hours=1)

    def stands_for(self, text: str) -> str:
        for name, thing in (
            ("s3://fed", f"file://{self.box}"),
            ("file:///mnt/share", f"file://{self.box}"),
            ("/media/stick", str(self.stick)),
            ("FINGERPRINT", self.federation.fingerprint),
        ):
            text = text.replace(name, thing)
        return text

    def before(self, words: list[str]) -> None:
        """What others do before this command of the client's."""
        if words[:2] == ["carry", "in"] and self.opened > self.ended:
            self.end()  # the stick's night is another one
        match words:
            case ["submit", *_] | ["carry", "in", *_] | ["client", "night", *_] if (
                self.opened == self.ended
            ):
                self.opened += 1
                self.start(self.opened)
                self.federation.open(self.opened)
                self.federation.submit_all(round_id=self.opened)
            case ["status" | "pull", *_] if self.opened > self.ended:
                self.end()

    def end(self) -> None:
        """End the night of the open round."""
        self.federation.run(self.opened)
        self.ended = self.opened
        self.start(self.ended + 1)

    def follow(self, command: str) -> None:
        """One line of the page, at the desk of whoever types it."""
        words = shlex.split(self.stands_for(command))[1:]
        linked = words[0] == "keygen" or (words[0] == "enroll" and "--key" in words)
        here = self.desk.folder / (
            "operator" if words[0] in OPERATOR else "linked" if linked else "client"
        )
        self.before(words)
        for word in words:
            sent = self.desk.folder / "client" / word
            if word.endswith(".enrolment") and sent.exists() and here.name == "operator":
                shutil.copy(sent, here)
        self.monkeypatch.chdir(here)
        asked = ["--yes"] if words[:2] in (["registry", "add"], ["registry", "sign"]) else []
        ran = self.desk(*words, *asked)
        assert ran.code == 0, f"{command}\n{ran.out}{ran.err}"
        self.ran.append(command)

    def page(self, page: Path) -> None:
        for command in commands_of(page):
            if not any(command.startswith(words) for words in ELSEWHERE):
                self.follow(command)


def test_readme_as_written(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(desk, "texas", monkeypatch)
    walk.page(README)
    assert (
        len(walk.ran)
        == len([c for c in commands_of(README) if c.startswith("hyperfed")])
        == len(START)
    )
    client = desk.folder / "client"
    assert sorted(p.name for p in (client / "model").iterdir()) == [
        "edges.csv",
        "model.json",
        "model.npz",
    ]
    monkeypatch.chdir(client)
    assert desk.ok("status")["headline"] == "counted in round 1"
    assert desk.ok("audit")["findings"] == []


def test_the_python_of_readme_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    federation, engine = snippets_of(README)
    names: dict[str, Any] = {}
    exec(compile(federation, "README.md", "exec"), names)  # noqa: S102 - the page's own text
    edges = {(row["source"], row["target"]): row["effect"] for row in names["model"].rows()}
    assert edges["heat", "load"] == pytest.approx(0.7, abs=0.1), "the liar turned it"
    assert edges["load", "wear"] == pytest.approx(-0.6, abs=0.1)
    assert "heat" in capsys.readouterr().out
    assert len(federation.splitlines()) <= 25
    exec(compile(engine, "README.md", "exec"), names)  # noqa: S102 - the page's own text
    assert len(names["update"].edges) == 1


def test_the_clients_page_as_written(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(desk, "hospital-1", monkeypatch)
    walk.page(CLIENTS)
    written = [c for c in commands_of(CLIENTS) if c.startswith("hyperfed")]
    elsewhere = (
        *("hyperfed links", "hyperfed client init", "hyperfed submit --round"),
        "hyperfed pull --gossip",
    )
    assert {c for c in written if c not in walk.ran} == {
        c for c in written if c.startswith(elsewhere) and c != walk.ran[0]
    }
    assert [
        w
        for w in ("client init", "client night", "client timer", "carry out")
        if not any(f"hyperfed {w}" in c for c in walk.ran)
    ] == []
    walk.end()  # of the round whose update came out on the stick
    monkeypatch.chdir(desk.folder / "client")
    assert desk.ok("status")["headline"] == f"counted in round {walk.opened}"


def test_the_clients_pages_snippets(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    direct, linked = (
        text
        for text in snippets_of(CLIENTS)
        if "from_causallearn" not in text and "read_table" not in text
    )
    box = desk.folder / "box"
    box.mkdir()
    federation = SmallFederation(clients=("hospital-1", "ohio"), store=FilesystemStore(box))
    federation.play(1)
    federation.keys["hospital-1"].save(desk.folder / "hospital-1.key")
    names: dict[str, object] = {}
    said = {
        "file:///mnt/share": f"file://{box}",
        "FINGERPRINT": federation.fingerprint,
        "datetime.now(UTC)": "NOW",
    }
    for name, thing in said.items():
        direct = direct.replace(name, thing)
    exec(compile(direct, "docs/clients.md", "exec"), names | {"NOW": federation.night(1)}, names)  # noqa: S102 - the page's own text
    assert len(names["edges"]) == 3  # type: ignore[arg-type]

    signing = SmallFederation(clients=("hospital-1", "ohio"), store=SigningStore())
    (desk.folder / "hospital-1.hfl").write_bytes(issuer(signing).file("hospital-1"))
    (desk.folder / "hospital-1.key").unlink()
    signing.keys["hospital-1"].save(desk.folder / "hospital-1.key")
    linked = linked.replace("FINGERPRINT", signing.fingerprint).replace("datetime.now(UTC)", "NOW")
    space: dict[str, object] = {"NOW": signing.opens(1) + timedelta(hours=1)}
    exec(compile(linked, "docs/clients.md", "exec"), space)  # noqa: S102 - the page's own text
    assert space["links"].links.round == 1  # type: ignore[attr-defined]
    assert space["links"].url("GET", "registry/000001")  # type: ignore[attr-defined]


def test_the_clients_page_discovers_in_a_frame(desk: Desk) -> None:
    import polars

    (snippet,) = (text for text in snippets_of(CLIENTS) if "read_table" in text)
    x, e = np.random.default_rng(0).normal(size=(2, 200))
    columns = {"who": [f"p{i}" for i in range(200)], "x": x, "y": 0.8 * x + e}
    frame = polars.DataFrame(columns)
    exec(compile(snippet, "docs/clients.md", "exec"), {"frame": frame})  # noqa: S102 - the page's own text
    found = (desk.folder / "found.csv").read_text()
    assert "\nx,y,0," in found
    assert "\ny,x,0," in found
    assert "p0" not in found


def test_the_clients_pages_line_for_each_library() -> None:
    """On a graph of two variables as each library returns it."""
    import networkx as nx

    (snippet,) = (text for text in snippets_of(CLIENTS) if "from_causallearn" in text)
    x, e = np.random.default_rng(0).uniform(-1, 1, (2, 200))
    data = np.c_[x, 0.8 * x + e]
    node = [SimpleNamespace(get_name=lambda name=name: name) for name in ("x", "y")]
    graph = SimpleNamespace(graph=np.array([[0, -1], [1, 0]]), nodes=node)
    links = {"graph": np.full((2, 2, 1), ""), "val_matrix": np.zeros((2, 2, 1))}
    weighted = nx.DiGraph()
    weighted.add_edge("x", "y", weight=0.8)
    given = {
        "names": ["x", "y"],
        "data": data,
        "frame": data,
        "model": SimpleNamespace(adjacency_matrix_=[[0, 0], [0.8, 0]]),
        "results": links | {"p_matrix": np.ones((2, 2, 1))},
        "weights": [[0, 0], [0.8, 0]],
        "p": np.full((2, 2), 0.01),
        "dag": nx.DiGraph([("x", "y")]),
    }
    found = []
    for line in snippet.splitlines():
        if line.startswith("found"):
            own = SimpleNamespace(graph=graph.graph, nodes=node, test=SimpleNamespace(data=data))
            asked = given | {"graph": weighted if "networkx" in line else own}
            code = compile(f"from hyperfed import Discovery\n{line}", "docs/clients.md", "exec")
            exec(code, asked)  # noqa: S102 - the page's own text
            found.append(asked["found"])
    pairs = [list(zip(one.source, one.target, strict=True)) for one in found]  # type: ignore[attr-defined]
    assert pairs == [[("x", "y")]] * 2 + [[]] + [[("x", "y")]] * 3


@pytest.mark.parametrize("page", [README, CLIENTS, OPERATIONS], ids=lambda page: page.name)
def test_the_settings_that_a_page_shows_are_settings(tmp_path: Path, page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("FINGERPRINT", "ab" * 32)
    blocks = re.findall(r"(?:^ {4,}\[[a-z]+\]\n)(?:^ {4,}\S.*\n)+", text, re.MULTILINE)
    assert bool(blocks) == (page != README)
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.toml").write_text(block)
        assert load_settings(tmp_path / f"{number}.toml").values, block


def test_there_is_one_way_to_start() -> None:
    """The same commands, in the same order, with the same options: README, the clients' page,
    --help; and the operator's page as far as it goes.
    """

    def steps(lines: list[str]) -> dict[str, str]:
        """Each step's first line."""
        found: dict[str, str] = {}
        for line in lines:
            step = next(
                (s for s in START if line.startswith(f"hyperfed {s} ") or line == f"hyperfed {s}"),
                None,
            )
            if step is not None:
                found.setdefault(step, line)
        return found

    from hyperfed.cli import app

    readme, clients, operations = (
        steps(commands_of(page)) for page in (README, CLIENTS, OPERATIONS)
    )
    helped = steps(
        re.findall(r"^ +(hyperfed .*)$", (app.help or "").rpartition("\b")[2], re.MULTILINE)
    )
    assert list(readme) == START
    assert [s for s in clients if s != "client timer"] == START[:-1]
    assert "client timer" in clients
    assert list(helped) == [s for s in START if not s.startswith("registry")]
    assert [s for s in operations if s in START[:2] or s == "registry add"] == [
        "client init",
        "enroll",
        "registry add",
    ]
    for step in ("enroll", "registry add"):
        options = {
            re.sub(r'"[^"]*"|\S+\.enrolment', "X", said[step])
            for said in (readme, clients, operations, helped)
            if step in said
        }
        assert len(options) == 1, options
    needed = ("--client-id", "--store", "--fingerprint FINGERPRINT")
    assert all(
        option in said["client init"]
        for said in (readme, clients, operations, helped)
        for option in needed
    )


def test_the_wheel_is_what_the_pages_say(tmp_path: Path) -> None:
    """`make wheel` prints the path that README installs, and the installed command runs by
    itself.
    """
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    name = f"hyperfed-{version}-py3-none-any.whl"
    for page, path in ((README, f"dist/{name}"), (CLIENTS, name)):
        assert [c for c in commands_of(page) if c.startswith("pipx")] == [f"pipx install {path}"]
    assert "make wheel" in commands_of(README)
    # The target itself with this Python, without its set-up, and into a folder of the test's.
    make = [
        "make",
        "--no-print-directory",
        "-o",
        "setup",
        "wheel",
        f"BIN={Path(sys.executable).parent}",
        f"DIST={tmp_path}",
    ]
    built = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, timeout=100, check=True)
    assert built.stdout.strip() == str(tmp_path / name)
    with zipfile.ZipFile(tmp_path / name) as wheel:
        held = set(wheel.namelist())
        wheel.extractall(tmp_path / "site")
    ours = Path(hyperfed.__file__).parent
    missing = {
        str(p.relative_to(ours.parent))
        for p in ours.rglob("*")
        if p.is_file() and p.parent.name != "__pycache__"
    } - held
    assert missing == set(), "what the checkout has and the wheel has not"
    assert not {n.partition("/")[0] for n in held} & {"flows", "tasks", "blocks", "tests"}
    script = (
        f"import hyperfed, sys; assert hyperfed.__file__.startswith({str(tmp_path)!r}), "
        "hyperfed.__file__; from hyperfed.cli import main; main()"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    for args, said in (
        (["--version"], version),
        (["keygen", "own.key"], "own.key.pub"),
        (["demo"], "Clone the repository"),
    ):
        ran = subprocess.run(
            [sys.executable, "-c", script, *args],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert said in ran.stdout + ran.stderr, ran.stderr
