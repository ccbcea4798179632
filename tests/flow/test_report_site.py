"""A round writes the dossier site beside its page, and keeps the pages of earlier rounds."""

from pathlib import Path

from hyperfed.testing.federation import SmallFederation
from tasks.report import _write_site


def test_each_round_adds_its_page_and_leaves_the_others(tmp_path: Path) -> None:
    fed = SmallFederation()
    fed.play(1)
    _write_site(fed.runner(), tmp_path, 1)
    first = tmp_path / "rounds" / "00000001.html"
    first.write_text("as it was")
    fed.play(2)
    _write_site(fed.runner(2), tmp_path, 2)
    assert first.read_text() == "as it was"
    home = (tmp_path / "index.html").read_text()
    for number in (1, 2):
        assert f'href="rounds/{number:08d}.html"' in home
