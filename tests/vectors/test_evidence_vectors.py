"""Golden files of the edge-evidence table in every format, and the files of the HIF standard.

A golden file stays as it is: a later version still reads it. `python -m
tests.vectors.make_evidence` writes those that are not there yet.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from hyperfed import evidence
from hyperfed.errors import SchemaError
from hyperfed.evidence import FORMATS, read, write
from hyperfed.evidence.formats.hif import check_hif
from hyperfed.evidence.table import MARKS
from hyperfed.hypergraph.suppression import EdgeStatus
from tests.unit.evidence.example import full_table
from tests.vectors.make_evidence import GOLDEN, golden_file, golden_table

pytestmark = pytest.mark.vectors

HIF = Path(__file__).parent / "hif"
OF_BYTES = [name for name in FORMATS if name not in ("parquet", "tigramite")]
"""Formats whose files depend on nothing but the table: the others' have their library's mark."""


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_golden_file_is_read_as_it_was_written(name: str) -> None:
    table = golden_table(name)
    back = read(golden_file(name).read_bytes(), name)
    again = read(write(table, name), name)
    assert back == again
    assert back.rows


@pytest.mark.parametrize("name", OF_BYTES)
def test_a_table_is_written_as_its_golden_file(name: str) -> None:
    assert write(golden_table(name), name) == golden_file(name).read_bytes()


def test_every_format_has_one_golden_file() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == {golden_file(n).name for n in FORMATS}


@pytest.fixture(scope="module")
def schema() -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    text = (Path(evidence.__file__).parent / "edge-evidence.schema.json").read_text("utf-8")
    document = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


def test_the_schema_takes_what_is_written_and_no_other(schema: Any) -> None:
    document = json.loads(write(full_table(), "json"))
    schema.validate(document)
    edge = schema.schema["$defs"]["edge"]["properties"]
    assert set(edge["endpoints"]["enum"]) == set(MARKS)
    assert {EdgeStatus.PRESENT.word, EdgeStatus.SUPPRESSED.word} == set(edge["status"]["enum"])
    for name, value in (("strength", 2), ("lag", -1), ("endpoints", "->"), ("more", 1)):
        wrong = json.loads(json.dumps(document))
        wrong["edges"][0][name] = value
        assert not schema.is_valid(wrong)


@pytest.mark.parametrize("file", sorted(HIF.glob("compliant/*.json")), ids=lambda f: f.stem)
def test_a_compliant_file_of_hif_complies(file: Path) -> None:
    check_hif(json.loads(file.read_bytes()))


@pytest.mark.parametrize("file", sorted(HIF.glob("non-compliant/*.json")), ids=lambda f: f.stem)
def test_a_non_compliant_file_of_hif_is_refused(file: Path) -> None:
    with pytest.raises(SchemaError):
        read(file.read_bytes(), "hif")


def test_what_we_write_complies_with_the_standards_own_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    standard = json.loads((HIF / "hif_schema.json").read_bytes())
    document = json.loads(write(full_table(), "hif"))
    jsonschema.Draft7Validator(standard).validate(document)
    assert len(list(HIF.glob("*compliant/*.json"))) == 31
