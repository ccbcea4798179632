"""docs/reference is that of the code, and cannot go stale unnoticed."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hyperfed import errors

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        import write_reference

        yield write_reference
    for name in [n for n in sys.modules if n.partition(".")[0] == "reference"]:
        del sys.modules[name]
    del sys.modules["write_reference"]


@pytest.fixture(scope="module")
def made(script: Any) -> dict[Path, str]:
    pages: dict[Path, str] = script.made_anew(ROOT)
    return pages


def test_pages_are_current_and_a_stale_one_is_told_and_mended(
    script: Any,
    made: dict[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(script, "made_anew", lambda root: made)
    assert (script.main(["--check"]), capsys.readouterr().err) == (0, "")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    (tmp_path / script.FOLDER).mkdir(parents=True)
    assert script.main(["--check"]) == 1
    assert "docs/reference/errors.md is not current" in capsys.readouterr().err
    assert list((tmp_path / script.FOLDER).iterdir()) == [], "a check writes nothing"
    assert script.main(["--write"]) == 0
    assert script.main(["--check"]) == 0


def test_a_remedy_stands_under_the_rule_of_the_call_that_gives_it(
    script: Any, tmp_path: Path
) -> None:
    (tmp_path / "module.py").write_text(
        'ASK = "Ask the operator"\n'
        "def check(name):\n"
        '    raise RefusedError("no", rule="R-1", remedy=f"Read {name} " + "again")\n'
        '    raise RefusedError("no", rule="R-2", remedy=ASK)\n'
        '    raise OtherError("no", rule="R-2", remedy="Not ours")\n'
    )
    from reference.errors_page import raised_in

    assert [(r.rule, r.remedy) for r in raised_in(tmp_path, {"RefusedError"})] == [
        ("R-1", "Read … again"),
        ("R-2", "Ask the operator"),
    ]


def test_every_error_every_rule_and_every_command_has_its_place(made: dict[Path, str]) -> None:
    pages = {path.stem: text for path, text in made.items()}
    protocol = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    rules = re.findall(r"^\| (R-\d+) \|", protocol, re.MULTILINE)
    assert len(rules) > 100
    assert [r for r in rules if f"### {r}\n" not in pages["errors"]] == []
    assert [e for e in errors.__all__ if f"| `{e}` |" not in pages["errors"]] == []
    for field in ("vote_min", "resamples", "forbidden"):
        assert f"**{field}** (" in pages["policy"]
    for field in ("least_sequences", "organisation", "epsilon", "trust_min_most"):
        assert f"**{field}** (" in pages["registry"], field
    assert "### hyperfed registry annul\n" in pages["cli"]
    assert "`--edges` (PATH)" in pages["cli"]
    assert "::: hyperfed.codec.PayloadCodec" in pages["api"]
    undocumented = [
        line
        for name in ("policy", "registry")
        for line in pages[name].splitlines()
        if line.endswith("`). ")
    ]
    assert undocumented == []
