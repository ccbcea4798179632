"""`client_night`: a client's own night, where it runs Prefect itself: pull the newest model, discover on its data, submit.

1. Settings are those of the `hyperfed` command: one hyperfed.toml says where the drop-box is, who this is, and with which key.
2. Data stay in this process; what crosses a task boundary, and so reaches Prefect's database, is file names, counts and digests.
3. A basket with its own coordinator is a client of the federation above: `below` names its federation, whose newest result is then what is submitted.
4. A run that finds this client's update of the round already there leaves it: Retry is safe. `correct` sends another, which replaces it.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, State
from prefect.tasks import exponential_backoff

from flows.coordination import rename_run
from hyperfed.cli.night import fetch_model, open_session, submit_update
from tasks.faults import is_transient

__all__ = ["client_night"]

_PATIENCE: dict[str, Any] = {"cache_policy": NO_CACHE, "retries": 5, "retry_delay_seconds": exponential_backoff(4), "retry_condition_fn": is_transient}


@task(name="pull", task_run_name="pull", **_PATIENCE)
def pull(config: str, model_folder: str, now: datetime | None) -> dict[str, Any]:
    """Which model lies in the folder now."""
    return fetch_model(open_session(Path(config)), Path(model_folder), now=now)


@task(name="submit", task_run_name="discover and submit", **_PATIENCE)
def submit(config: str, data: str, below: str, max_lag: int, correct: bool, now: datetime | None) -> dict[str, Any]:
    """What was sent, or what lies there already."""
    source = open_session(Path(below), signing=False) if below else None
    return submit_update(open_session(Path(config)), None if below else Path(data), below=source, max_lag=max_lag, correct=correct, now=now)


@flow(name="client-night", flow_run_name="client night", persist_result=False)
def client_night(
    config: str = "hyperfed.toml",
    data: str = "series.csv",
    below: str = "",
    model_folder: str = "model",
    max_lag: int = 1,
    correct: bool = False,
    now: datetime | None = None,
) -> State[dict[str, Any]]:
    """Pull the newest global model, discover on this machine's data, submit what may be shared.

    Args:
        config: Path of this client's hyperfed.toml.
        data: Path of the time series as CSV; its columns are variables of the round.
        below: Path of the hyperfed.toml of a federation below: its newest result is submitted, and data are not looked at. Empty: none.
        model_folder: Folder for the global model: model.npz.
        max_lag: The longest lag that discovery looks at, in steps.
        correct: Submit although an update of this round is there: it replaces that one. Three corrections a round are taken; none in a round of local
            noise, which takes one message.
        now: The clock, for rehearsals; empty: the real one.
    """
    model = pull(config, model_folder, now)
    sent = submit(config, data, below, max_lag, correct, now)
    get_run_logger().info("flow=client-night round=%d client=%s sent=%s edges=%d", sent["round"], sent["client"], sent["sent"], sent["edges"])
    rename_run(f"{sent['client']}, round {sent['round']}")
    what = f"update {sent['sequence']} with {sent['edges']} edges is sent" if sent["sent"] else "an update is there already, nothing was sent"
    return Completed(message=f"round {sent['round']}: {what}; global model: {model['said']}", data={"model": model, "update": sent})
