"""The compiled loops as they are called from outside: names, what they take, and what tells one build of them from another.

`P` is the address of an array, `q` an int64, `d` a float64; every loop answers an int64. What the arguments mean stands at the loops.
"""

import hashlib
from functools import cache
from pathlib import Path

__all__ = ["SIGNATURES", "c_type", "sources_digest"]

SIGNATURES = {
    # loops/ballots.py
    "varying": "PqP",
    "slots": "PqPqPPq",
    "numbered": "PqPqPPqPqP",
    "votes": "PqP",
    "cast": "PPPqP",
    "agreement_32": "PPPqPqdPPqPP",
    "agreement_16": "PPPqPqdPPqPP",
    # loops/merging.py
    "begins": "PqqPP",
    "ordered": "PqPqPPPPP",
    "trimmed": "PPqPqP",
    "effect_trust": "PqqqPPPPPPPP",
    "pool_effects": "PqqqPPPPqPPPPPPPPP",
    "merged_32": "PqqqPqPPPPqPPPPqdqPPPPPPPPPP",
    "merged_64": "PqqqPqPPPPqPPPPqdqPPPPPPPPPP",
    "merged_records": "PqqqPqPPPqdqPPPPPPPPPP",
    # loops/columns.py
    "column": "PPPPqqqqqdPPP",
    "sound": "PPPPPPPPPqq",
    "edges": "PqPqqdqP",
    "cut": "PqqqdPPqqPP",
    # loops/records.py
    "pack": "PPPPPPPPPPqqP",
    "ends": "PqPqP",
    "spread": "PPqPPq",
}

_C = {"P": "void *", "q": "int64_t", "d": "double"}


def c_type(signature: str) -> str:
    """The pointer to a function of that signature, in C."""
    return f"int64_t(*)({', '.join(_C[kind] for kind in signature)})"


@cache
def sources_digest() -> bytes:
    """SHA-256 of everything in this package that the machine code follows from."""
    here = Path(__file__).parent
    constants = [here.parent / name for name in ("columns.py", "vocabulary.py", "merge/order.py", "merge/packed.py", "merge/pooling.py")]
    digest = hashlib.sha256()
    for path in (Path(__file__), here / "build.py", *sorted((here / "loops").glob("*.py")), *constants):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()
