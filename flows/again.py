"""Run a flow again later where a passing fault has ended its run.

1. A store that does not answer, and a clock that is wrong, are such faults. Nobody is needed: the
   run says AwaitingRetry and is scheduled again. Meanwhile no process waits, and the run's slot is
   free.
2. The pauses double, from the policy's `poll_s` to five minutes. After `TRIES` of them, about an
   hour and a half, the run fails, and the notifications for that are sent.
3. A run stands for the instant that it was scheduled for, however often it is run. It is not run
   before that instant, as a clock that is ahead would have it. Pauses are counted by the Prefect
   server's clock, because this machine's may be the wrong one, and so may the store's.
4. A run without a deployment (`hyperfed round run`) has nobody who would run it again: it fails at
   once.

What it does not do: run again what a person must look at (a quorum, a signature, a full disk), or
what has crashed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from prefect import State, get_client, get_run_logger, runtime
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import Pause
from prefect.states import AwaitingRetry

from hyperfed.errors import ClockError, TransientError

__all__ = ["MOST_S", "TRIES", "again_later", "pause_s"]

TRIES = 20
"""How often a run is run again."""
MOST_S = 300.0
"""The longest pause between two tries, in seconds."""


def pause_s(tried: int, first_s: float) -> float:
    """Return how many seconds to wait after `tried` tries, at least 1.

    first_s: half of the first pause.
    """
    return min(MOST_S, max(1.0, first_s) * 2.0 ** min(tried, 30))


def _time_of(client: SyncPrefectClient) -> datetime:
    """Return what the Prefect server's clock says: it decides when a run is due."""
    said = client.request("GET", "/hello").headers.get("date")
    return parsedate_to_datetime(said) if said else datetime.now(UTC)


@contextmanager
def again_later(first_s: float) -> Iterator[None]:
    """Schedule this flow run again where a fault that passes ends the context.

    first_s: half of the first pause, in seconds. Raises Pause then, by which Prefect's engine ends
    the process without a state of its own.
    """
    try:
        yield
    except (TransientError, ClockError) as error:
        tried = int(runtime.flow_run.run_count or 1)
        if not runtime.deployment.id or tried > TRIES:
            raise
        planned = runtime.flow_run.scheduled_start_time
        with get_client(sync_client=True) as client:
            at = _time_of(client) + timedelta(seconds=pause_s(tried, first_s))
            if planned is not None:
                at = max(at, datetime.fromtimestamp(planned.timestamp(), UTC))
            state: State[None] = AwaitingRetry(scheduled_time=at, message=str(error))
            client.set_flow_run_state(runtime.flow_run.id, state, force=True)
        get_run_logger().warning("Tried again at %s. %s", f"{at:%H:%M:%S %Z}", error)
        raise Pause(state=state) from error
