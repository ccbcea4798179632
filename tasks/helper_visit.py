"""Visit a drop-box as a helper of secure sums: do what is due, once."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from blocks.bounds import bounds
from hyperfed.client.night import help_open
from tasks.faults import is_transient

__all__ = ["helper_visit"]


@task(
    name="helper visit",
    task_run_name="helper visit",
    cache_policy=NO_CACHE,
    retries=5,
    retry_delay_seconds=exponential_backoff(4),
    retry_condition_fn=is_transient,
)
def helper_visit(config: str, now: datetime | None) -> dict[str, Any]:
    """Return what the helper of a hyperfed.toml did: rounds, counts and reasons, and no seed."""
    return asdict(help_open(bounds().file("config", config), now=now))
