"""axe-core finds nothing by WCAG 2 AA on any kind of page of a dossier of 60 variables, at three
widths, and nothing is wider than the screen.

axe-core comes from a package that the lock does not have; only its one file is read.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hyperfed.packets import PolicyPack, Update
from hyperfed.report import SiteContent, site_files
from hyperfed.tables.tables import EdgeTable
from hyperfed.tables.vocabulary import Vocabulary
from hyperfed.testing.federation import SmallFederation
from tests.installation.venvs import data_of

RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("axe")
    data_of(folder, ("axe-playwright-python==0.1.7",))
    (script,) = folder.rglob("axe.min.js")
    return script.read_text("utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The operator's own site of 60 variables and 110 edges."""
    rng, wide = np.random.default_rng(1), 60
    fed = SmallFederation(
        clients=8,
        vocabulary=Vocabulary.of(*(f"variable_{i:02d}" for i in range(wide))),
        policy=PolicyPack(lags=(0, 1, 2)),
    )
    keys = rng.choice(wide * (wide - 1) * 2, size=110, replace=False)
    ends, lag = np.divmod(keys, 2)
    source, step = np.divmod(ends, wide - 1)
    target = (source + 1 + step) % wide
    order = np.lexsort((lag + 1, target, source))
    base = rng.normal(0, 0.6, len(keys))
    for round_id in (1, 2):
        fed.open(round_id)
        for client in fed.clients:
            effect = base + rng.normal(0, 0.05, len(keys))
            table = EdgeTable.build(
                source=source[order],
                target=target[order],
                lag=(lag + 1)[order],
                effect=effect,
                confidence=np.full(len(keys), 0.97),
                stability=rng.uniform(0.6, 1, len(keys)),
                n=300,
                ci_low=effect - 0.1,
                ci_high=effect + 0.1,
            )
            update = Update(measured=np.arange(wide, dtype=np.uint32), edges=table)
            fed.submit(client, update, round_id=round_id)
        fed.run(round_id)
    reader, out = fed.reader(), tmp_path_factory.mktemp("site")
    content = SiteContent.read(reader, reader.ledger(), last=5, sets=fed.runner(2).frozen)
    for path, text in site_files(content).items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text, encoding="utf-8")
    return out


@pytest.mark.parametrize("kind", ["index.html", "edges/*.html", "rounds/*.html"])
def test_axe_finds_nothing_and_nothing_is_cut_off(
    chromium: Any, folder: Path, axe: str, kind: str
) -> None:
    file = max(folder.glob(kind), key=lambda path: path.stat().st_size)
    for width, scheme in ((390, "light"), (1024, "light"), (1600, "light"), (1024, "dark")):
        context = chromium.new_context(
            bypass_csp=True, color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        page = context.new_page()
        page.goto(file.as_uri())
        page.evaluate(axe)
        found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        assert len(found["passes"]) > 5
        said = [
            (one["id"], [node["html"][:120] for node in one["nodes"][:3]])
            for one in found["violations"]
        ]
        assert said == [], f"{file.name} at {width}, {scheme}"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        context.close()
