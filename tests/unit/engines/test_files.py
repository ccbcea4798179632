"""Files as users have them: `tests/files/README.md` says of each what it becomes, a result or a
message, and the reader has to agree, by the way that every command takes.
"""

import pytest

from tests.unit.engines.files_table import FILES, became, table, written

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("file", "words", "becomes"), table())
def test_a_file_becomes_what_the_table_says(file: str, words: str, becomes: str) -> None:
    assert became(file, words) == becomes


def test_each_file_stands_in_the_table() -> None:
    there = {path.name for path in FILES.iterdir()} - {"README.md"}
    assert there == {file.partition(" with ")[0] for file, _, _ in table()}


def test_the_table_is_what_its_script_makes() -> None:
    page = (FILES / "README.md").read_text(encoding="utf-8")
    assert written() == page, ".venv/bin/python -m tests.unit.engines.files_table --write"
