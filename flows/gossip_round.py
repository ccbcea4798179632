"""Run one epoch of a client's gossip with its basket, where the client runs Prefect itself.

1. A schedule runs this several times a window (`hyperfed schedule --gossip-frequency`). The first
   run of a round sends the client's noised message, every later one a part of what it has by then.
2. Data stay in this process, as in `client_night`. What Prefect stores are file names and counts.
3. A run that is repeated, late or too early is harmless: what was drawn is sent again as it was
   drawn, and an epoch that is not due only reads.
"""

from datetime import datetime
from typing import Any

from prefect import State, flow, get_run_logger
from prefect.states import Completed

from flows.coordination import rename_run
from tasks.gossip import gossip

__all__ = ["gossip_round"]


@flow(name="gossip-round", flow_run_name="gossip", persist_result=False)
def gossip_round(
    config: str = "hyperfed.toml",
    source: dict[str, Any] | None = None,
    round_id: int | None = None,
    now: datetime | None = None,
) -> State[dict[str, Any]]:
    """Read what peers have left, and leave this client's part for the next epoch.

    Args:
        config: Path of this client's hyperfed.toml.
        source: What differs from section [data] of hyperfed.toml, by its names, such as {"file":
            "tonight.csv"}. It is looked at in the first epoch of a round only.
        round_id: Another round than the one that runs, until the end of the window after it.
        now: The clock, for rehearsals; when empty, the real one.
    """
    said = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in (source or {}).items()
    }
    stands = gossip(config, said, round_id, now)
    get_run_logger().info(
        "flow=gossip-round round=%d client=%s epoch=%d added=%d dropped=%d sent=%s",
        stands["round"],
        stands["client"],
        stands["epoch"],
        stands["added"],
        stands["dropped"],
        stands["sent"] or "nothing",
    )
    rename_run(f"{stands['client']}, round {stands['round']}, epoch {stands['epoch']}")
    did = f"{stands['sent']} is written" if stands["sent"] else "nothing was due"
    return Completed(
        message=f"round {stands['round']}, epoch {stands['epoch']} of {stands['epochs']}: {did}, "
        f"{stands['added']} shares of peers were new",
        data=stands,
    )
