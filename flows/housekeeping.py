"""Forget old inbox objects, stage results and scratch, and old artifacts of Prefect.

What goes is recorded, and the audit says so.
"""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import State, flow, get_client, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.sorting import ArtifactSort
from prefect.states import Completed

from hyperfed.coordinator.timing import instant_of
from hyperfed.operations.retention import KEEP_ROUNDS, prunable, prune
from tasks.coordinator import Coordinator, new_runner

__all__ = ["housekeeping"]

_OURS = ("round-", "edges-", "audit-", "simulation")
_PAGE = 200


@task(name="prune the drop-box", cache_policy=NO_CACHE)
def prune_drop_box(
    drop_box: str, coordinator_keys: str, keep_rounds: int, dry_run: bool, now: datetime | None
) -> dict[str, int]:
    """Return how many objects and bytes went, or would go."""
    runner = new_runner(Coordinator(drop_box, coordinator_keys, now or datetime.now(UTC)))
    if dry_run:
        found = prunable(runner.reader, keep_rounds=keep_rounds)
        return {"objects": len(found), "bytes": sum(info.size for info in found)}
    objects = size = 0
    while record := prune(
        runner.reader, key_pair=runner.key_pair, now=runner.now, keep_rounds=keep_rounds
    ):
        objects, size = objects + len(record.keys), size + sum(record.sizes)
    return {"objects": objects, "bytes": size}


@task(name="prune artifacts", cache_policy=NO_CACHE)
def prune_artifacts(keep_days: int, dry_run: bool, now: datetime | None) -> int:
    """Return how many artifacts of ours were older than `keep_days`, and went or would go."""
    before, old, offset = (now or datetime.now(UTC)) - timedelta(days=keep_days), [], 0
    with get_client(sync_client=True) as client:
        while page := client.read_artifacts(
            sort=ArtifactSort.CREATED_DESC, limit=_PAGE, offset=offset
        ):
            old += [
                a.id
                for a in page
                if (a.key or "").startswith(_OURS) and a.created and a.created < before
            ]
            offset += len(page)
        for artifact in () if dry_run else old:
            client.delete_artifact(artifact)
    return len(old)


@flow(name="housekeeping", flow_run_name="housekeeping of {drop_box}", persist_result=False)
def housekeeping(
    keep_rounds: int = KEEP_ROUNDS,
    keep_days: int = 365,
    dry_run: bool = False,
    drop_box: str = "hyperfed",
    coordinator_keys: str = "hyperfed",
    now: datetime | None = None,
) -> State[dict[str, Any]]:
    """Forget what is old.

    The registry, plans, freezes, accepted updates, results, states, receipts and the ledger always
    stay.

    Args:
        keep_rounds: Inbox objects and stage results of so many rounds stay; at least 32, which late
            updates and corrections need. Scratch of a merge across machines goes as soon as its
            round has ended.
        keep_days: Rounds' pages in Prefect of so many days stay. A page can be made again from the
            drop-box at any time.
        dry_run: Only count what would go.
        drop_box: Name of the Hyperfed Drop-Box block.
        coordinator_keys: Name of the Hyperfed Coordinator Keys block, whose key signs the record.
        now: The clock, for dry runs, and for processes that were started with
            HYPERFED_REHEARSAL=1; when empty, the real one.
    """
    now = instant_of(now, datetime.now(UTC), dry_run=dry_run, environment=os.environ)
    pruned = prune_drop_box(drop_box, coordinator_keys, keep_rounds, dry_run, now)
    artifacts = prune_artifacts(keep_days, dry_run, now)
    get_run_logger().info(
        "flow=housekeeping objects=%d bytes=%d artifacts=%d dry_run=%s",
        pruned["objects"],
        pruned["bytes"],
        artifacts,
        dry_run,
    )
    went = "would go" if dry_run else "went"
    return Completed(
        message=f"{pruned['objects']} objects ({pruned['bytes']:,} bytes) and {artifacts} "
        f"artifacts {went}",
        data=pruned | {"artifacts": artifacts},
    )
