"""What a file of edges says beside its rows: written, read again, and refused where broken."""

from pathlib import Path

import pytest

from hyperfed.engines import Discovery, Interaction
from hyperfed.engines.readers.edges_csv import EdgesFile
from hyperfed.engines.readers.remarks import edges_text
from hyperfed.engines.readers.units import Units
from hyperfed.errors import EngineError

pytestmark = pytest.mark.unit

HEADER = "source,target,lag,effect,confidence,stability\n"


def _found(names: tuple[str, ...], count: int = 1) -> Discovery:
    a, b, c = names[:3]
    return Discovery(
        variables=names,
        source=[a],
        target=[b],
        lag=[0],
        lags=(0, *range(1, count + 1)),
        effect=[1 / 3],
        confidence=0.9,
        stability=0.7,
        endpoints=["o->"],
        bidirected=[(b, c, 2 / 3)],
        interactions=[
            Interaction(
                sources=(a, c),
                target=b,
                lag=lag,
                effect=1 / 7,
                confidence=0.8,
                stability=0.6,
                std_error=1 / 70 if lag else None,
            )
            for lag in range(count)
        ],
        intervened=[a],
        notes=("two\nlines, and a comma",),
    )


def _read(path: Path, text: str, names: tuple[str, ...], **options: object) -> Discovery:
    path.write_text(text, encoding="utf-8")
    return EdgesFile(path, variables=names, **options).discover()


def test_what_is_written_is_read_again_whatever_the_names(tmp_path: Path) -> None:
    names = ('a, "b"', "größe = 1", "c: # d")
    # more lines than the reader looks at to recognise a delimiter
    found = _found(names, count=60)
    again = _read(tmp_path / "found.csv", edges_text(found, units={names[0]: "€"}), names)
    for name in ("variables", "lags", "bidirected", "interactions", "intervened", "endpoints"):
        assert getattr(again, name) == getattr(found, name), name
    assert again.effect.tolist() == found.effect.tolist()
    assert again.notes == ("two lines, and a comma",)


def test_a_discovery_saves_itself_as_the_file_that_submit_takes(tmp_path: Path) -> None:
    found, path = _found(("a", "b", "größe")), tmp_path / "found.csv"
    path.write_text("what lay there before, which is longer\n" * 100)
    found.save(path)
    assert path.read_text(encoding="utf-8") == edges_text(found, units={})
    again = EdgesFile(path, variables=found.variables).discover()
    assert (again.interactions, again.rows()) == (found.interactions, found.rows())


def test_interactions_are_converted_to_the_rounds_units(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    text = edges_text(_found(names, count=2), units={})
    units = Units(convert={"a": "10", "b": "-2", "c": "5"})
    again = _read(tmp_path / "found.csv", text, names, units=units)
    one = again.interactions[1]
    assert one.effect == pytest.approx(1 / 7 * -2 / (10 * 5))
    assert one.std_error == pytest.approx(1 / 70 * 2 / (10 * 5))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("# shared cause: a,b", "two variables and a share"),
        ("# shared cause: a,b,many", "numbers; 'many' is none"),
        ("# shared cause: a,b,1_0", "numbers; '1_0' is none"),
        ("# interaction: b,0,1,1,1,,1,1,a", "its eight cells and two or more sources"),
        ("# interaction: b,-1,1,1,1,,1,1,a,c", "whole numbers from 0 to 65535"),
        ("# interaction: b,0,1,2,1,,1,1,a,c", r"confidence is 2\.0, outside"),
        ("# intervened: a,e", "says that 'e' was measured"),
        ("# lags: one", "whole numbers"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        _read(tmp_path / "e.csv", f"{line}\n{HEADER}a,b,0,1,1,1\n", ("a", "b", "c"))


def test_a_line_with_another_title_is_nothing(tmp_path: Path) -> None:
    found = _read(tmp_path / "e.csv", f"# made by: us\n# \n{HEADER}a,b,0,1,1,1\n", ("a", "b"))
    assert (found.notes, found.interactions, found.intervened) == ((), (), ())


def test_marks_are_a_column_and_strange_ones_are_named_with_their_line(tmp_path: Path) -> None:
    head, names = HEADER.strip() + ",endpoints\n", ("a", "b")
    assert _read(tmp_path / "e.csv", f"{head}a,b,0,1,1,1,o->\n", names).endpoints == ("o->",)
    with pytest.raises(EngineError, match="line 2, column 'endpoints': '<->' is no pair of marks"):
        _read(tmp_path / "e.csv", f"{head}a,b,0,1,1,1,<->\n", names)
