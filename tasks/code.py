"""Compute the digest of the code that the stages run, so that a Retry after a fix runs the fix."""

import hashlib
from functools import cache
from pathlib import Path

import blocks
import hyperfed

__all__ = ["code_digest"]

_DIGITS = 32


@cache
def code_digest() -> str:
    """Return the digest of library, tasks and blocks, as this process has found them.

    It has 32 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for package in (hyperfed.__file__, blocks.__file__, __file__):
        folder = Path(str(package)).parent
        for file in sorted(folder.rglob("*.py")):
            name = f"{folder.name}/{file.relative_to(folder).as_posix()}\n"
            digest.update(name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:_DIGITS]
