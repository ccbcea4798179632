"""Run one epoch of a client's gossip: read what peers have left, and leave a part for the next."""

from datetime import datetime
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from blocks.bounds import bounds
from hyperfed.client.night import gossip_epoch, open_session, open_source
from tasks.faults import is_transient

__all__ = ["gossip"]


@task(
    name="gossip",
    task_run_name="gossip",
    cache_policy=NO_CACHE,
    retries=5,
    retry_delay_seconds=exponential_backoff(4),
    retry_condition_fn=is_transient,
)
def gossip(
    config: str, source: dict[str, Any], round_id: int | None, now: datetime | None
) -> dict[str, Any]:
    """Return where the client of a hyperfed.toml stands after one more epoch.

    `source` is what the flow's parameters say about the data, which are opened here, within the
    worker's bounds.
    """
    limits = bounds()
    settings = limits.file("config", config)
    found = open_source(settings, limits.source(source))
    return gossip_epoch(open_session(settings, now=now), found, round_id=round_id, now=now)
