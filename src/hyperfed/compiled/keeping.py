"""Where machine code is kept between processes, and what tells one build from another.

1. One file a build: beside this package or, where nothing may be written there, in the user's cache folder. Its name follows from the loops' sources, the
   compiler's version and the processor: any other build has another name.
2. A file that is not ours alone to write is not loaded: what is in it runs. The open file is asked, not its path. And it says its own name: who may write the
   folder cannot give another build of ours that name.
3. It is written whole or not at all.

What it does not do: compile (`build`), run (`loading`).
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hyperfed.compiled.interface import sources_digest
from hyperfed.errors import ConfigError
from hyperfed.lasting import cache_folder, write_lasting

__all__ = ["find", "keep", "name_of"]

_FORM = b"hyperfed machine code 2"


def name_of(compiler: str, processor: str) -> str:
    """The file's name. compiler: its version; processor: its name and what it can do."""
    told = "\0".join((compiler, processor, sys.platform)).encode()
    return f"loops-{hashlib.sha256(_FORM + sources_digest() + told).hexdigest()[:32]}.bin"


def find(name: str) -> bytes | None:
    """What was kept under this name, None where nothing was."""
    head = name.encode() + b"\n"
    for folder in _folders():
        with suppress(OSError), (folder / name).open("rb") as file:
            status = os.fstat(file.fileno())
            if hasattr(os, "geteuid") and (status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022):
                continue
            if file.read(len(head)) == head:
                return file.read()
    return None


def keep(name: str, code: bytes) -> Path | None:
    """Keep it; where, or None where nothing may be written anywhere."""
    for folder in _folders():
        path = folder / name
        with suppress(OSError, ConfigError):
            folder.mkdir(parents=True, exist_ok=True)
            write_lasting(path, name.encode() + b"\n" + code, error=ConfigError, remedy="Another folder is tried")
            path.chmod(0o644)
            return path
    return None


def _folders() -> Iterator[Path]:
    yield Path(__file__).parent / "__pycache__"
    if (folder := cache_folder()) is not None:
        yield folder
