"""Write the golden files of the edge-evidence table that are not there yet."""

from pathlib import Path

from hyperfed.evidence import FORMATS, EdgeEvidence, write
from tests.unit.evidence.example import full_table, plain_table

GOLDEN = Path(__file__).parent / "evidence"
_PLAIN = ("lavaan", "tetrad", "bif")


def golden_table(name: str) -> EdgeEvidence:
    """The table behind a format's golden file: all of it where the format holds any graph."""
    return plain_table() if name in _PLAIN else full_table()


def golden_file(name: str) -> Path:
    return GOLDEN / f"table-1{FORMATS[name].suffix}"


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name in FORMATS:
        if not golden_file(name).exists():
            golden_file(name).write_bytes(write(golden_table(name), name))
