"""A coordinator from the names of its blocks: what a task makes that runs in another process, where neither a store nor a key may be sent."""

from datetime import datetime
from functools import lru_cache

from blocks import CoordinatorKeys, DropBox
from hyperfed.coordinator.runner import RoundRunner
from hyperfed.coordinator.shuffle import Shuffle
from hyperfed.ledger_copy import LedgerCopy
from tasks.stages import code_digest

__all__ = ["runner_of", "shuffle_of"]


def runner_of(drop_box: str, coordinator_keys: str, now: datetime) -> RoundRunner:
    """A coordinator at the instant `now`, the flow's clock."""
    box, keys = DropBox.load(drop_box), CoordinatorKeys.load(coordinator_keys).load_keys()
    runner = RoundRunner(box.open(), keys=keys, now=now, fingerprint=box.fingerprint or None, copy=LedgerCopy.in_cache(box.fingerprint))
    runner.code = code_digest()
    return runner


@lru_cache(maxsize=4)
def shuffle_of(drop_box: str, coordinator_keys: str, now: datetime, round_id: int) -> Shuffle:
    """The shuffle of a frozen round; kept in a worker's process, since registry, freeze and layout never change and a merge asks a dozen times."""
    return runner_of(drop_box, coordinator_keys, now).shuffle(round_id)
