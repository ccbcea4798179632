"""The client's side of the drop-box: `ClientSession` submits, pulls and reads receipts; `ClientMemory` is what it must never forget."""

from hyperfed.client.memory import ClientMemory
from hyperfed.client.session import ClientSession, Submitted

__all__ = ["ClientMemory", "ClientSession", "Submitted"]
