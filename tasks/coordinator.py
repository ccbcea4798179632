"""A coordinator from the names of its blocks: what a task makes that runs in another process, where neither a store nor a key may be sent."""

from datetime import datetime

from blocks import CoordinatorKeys, DropBox
from hyperfed.coordinator.runner import RoundRunner
from tasks.stages import code_digest

__all__ = ["runner_of"]


def runner_of(drop_box: str, coordinator_keys: str, now: datetime) -> RoundRunner:
    """A coordinator at the instant `now`, the flow's clock."""
    box, keys = DropBox.load(drop_box), CoordinatorKeys.load(coordinator_keys).load_keys()
    runner = RoundRunner(box.open(), keys=keys, now=now, fingerprint=box.fingerprint or None)
    runner.code = code_digest()
    return runner
