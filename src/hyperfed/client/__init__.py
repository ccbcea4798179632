"""Work at the drop-box as a client: `ClientSession` submits updates, pulls results, reads receipts.

`ClientMemory` holds what a client must never forget. Each name is imported when it is first asked
for, so that a command's `--help` stays fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperfed.client.memory import ClientMemory
    from hyperfed.client.session import ClientSession, Submitted

__all__ = ["ClientMemory", "ClientSession", "Submitted"]

_MODULES = {"ClientMemory": "memory", "ClientSession": "session", "Submitted": "session"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'hyperfed.client' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hyperfed.client.{_MODULES[name]}"), name)
