"""Carry a graph and its evidence to other libraries, and back.

`EdgeEvidence` is the table; `write` and `read` convert it to and from the formats in `FORMATS`,
each a module of `formats`.
"""

from hyperfed.evidence.catalogue import FORMATS, Format, read, read_file, write
from hyperfed.evidence.formats.hif import from_hif, to_hif, to_xgi
from hyperfed.evidence.table import EdgeEvidence, EvidenceRow, JointEffect

__all__ = [
    "FORMATS",
    "EdgeEvidence",
    "EvidenceRow",
    "Format",
    "JointEffect",
    "from_hif",
    "read",
    "read_file",
    "to_hif",
    "to_xgi",
    "write",
]
