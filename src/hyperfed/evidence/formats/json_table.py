"""Write and read JSON: the table itself, with everything in it.

`edge-evidence.schema.json` describes the file.
"""

import json
from dataclasses import asdict
from typing import Any

from hyperfed.errors import SchemaError
from hyperfed.evidence.table import EdgeEvidence, EvidenceRow, JointEffect

__all__ = ["decode", "encode", "json_object"]

_NAME, _VERSION = "hyperfed-edge-evidence", 1


def encode(table: EdgeEvidence) -> bytes:
    """Return the table as JSON."""
    document = {
        "format": _NAME,
        "version": _VERSION,
        "variables": list(table.variables),
        "edges": [row.known for row in table.rows],
        "joint_effects": [
            {key: value for key, value in asdict(one).items() if value is not None}
            for one in table.joint
        ],
    }
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def decode(data: bytes) -> EdgeEvidence:
    """Return the table of a JSON file. Raises SchemaError for another format or version."""
    document = json_object(data)
    if (document.get("format"), document.get("version")) != (_NAME, _VERSION):
        raise SchemaError(
            f"has format {document.get('format')!r:.40}, version {document.get('version')!r:.20}; "
            f"{_NAME!r}, version {_VERSION}, is read",
            subject="json file",
        )
    joint = tuple(
        JointEffect(**{**one, "sources": tuple(one["sources"])})
        for one in document.get("joint_effects", ())
    )
    return EdgeEvidence(
        variables=tuple(map(str, document["variables"])),
        rows=tuple(EvidenceRow.of(edge) for edge in document["edges"]),
        joint=joint,
    )


def json_object(data: bytes) -> dict[str, Any]:
    """Return a file's JSON object. Raises SchemaError where it is not one."""

    def refused(name: str) -> float:
        raise SchemaError(f"has the number {name}, which JSON has not", subject="json file")

    try:
        document = json.loads(data.decode("utf-8-sig"), parse_constant=refused)
    except (ValueError, RecursionError) as exc:
        raise SchemaError("is not JSON", subject="json file") from exc
    if not isinstance(document, dict):
        raise SchemaError("is not a JSON object", subject="json file")
    return document
