"""Run a client's own night, where the client runs Prefect itself.

The night pulls the newest model, discovers on the client's data, and submits.

1. Settings are those of the `hyperfed` command: one hyperfed.toml says where the drop-box is, who
   this is, and with which key.
2. Data stay in this process. What crosses a task boundary, and so reaches Prefect's database, is
   file names, names of variables and columns that the user typed, counts and digests. How many
   columns of a file are left out is said as a number, without their names.
3. A basket with its own coordinator is a client of the federation above. `below` names the basket's
   federation, whose newest result is then what is submitted.
4. Files that parameters name lie inside the folder that the worker's owner chose, and an engine of
   one's own is one that the owner named (`blocks.bounds`).
5. A run that finds this client's update of the round already there leaves it, so that Retry is
   safe. `correct` sends another, which replaces it.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import State, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed
from prefect.tasks import exponential_backoff

from blocks.bounds import bounds
from flows.coordination import rename_run
from hyperfed.client.night import fetch_model, open_session, open_source, submit_update
from hyperfed.coordinator.timing import instant_of
from hyperfed.report.wording import visible
from tasks.faults import is_transient

__all__ = ["client_night"]

_PATIENCE: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 5,
    "retry_delay_seconds": exponential_backoff(4),
    "retry_condition_fn": is_transient,
}


@task(name="pull", task_run_name="pull", **_PATIENCE)
def pull(config: str, model_folder: str, now: datetime | None) -> dict[str, Any]:
    """Return which model lies in the folder now."""
    limits = bounds()
    session = open_session(limits.file("config", config), now=now)
    return fetch_model(session, limits.file("model_folder", model_folder), now=now)


@task(name="submit", task_run_name="discover and submit", **_PATIENCE)
def submit(
    config: str,
    given: dict[str, Any],
    below: str,
    correct: bool,
    round_id: int | None,
    now: datetime | None,
) -> dict[str, Any]:
    """Return what was sent, or what lies there already.

    `given` is what the flow's parameters say about the source.
    """
    limits = bounds()
    settings = limits.file("config", config)
    federation = (
        open_session(limits.file("below", below), signing=False, now=now) if below else None
    )
    source = None if below else open_source(settings, limits.source(given))
    sent = submit_update(
        open_session(settings, now=now),
        source,
        below=federation,
        correct=correct,
        round_id=round_id,
        now=now,
    )
    for note in sent.pop("notes", ()):
        get_run_logger().warning("flow=client-night round=%d note=%s", sent["round"], visible(note))
    read = sent.pop("read", None)
    counts = {"rows": read["rows"], "missing": sum(read["missing"].values())} if read else {}
    return sent | counts | {"columns_left_out": len(sent.get("columns_left_out", ()))}


@flow(name="client-night", flow_run_name="client night", persist_result=False)
def client_night(
    config: str = "hyperfed.toml",
    data: str = "",
    edges: str = "",
    engine: str = "",
    below: str = "",
    time: str = "",
    series: bool | None = None,
    every: str = "",
    fill_gaps: str = "",
    missing: list[str] | None = None,
    delimiter: str = "",
    decimal: str = "",
    unit: dict[str, str] | None = None,
    convert: dict[str, str] | None = None,
    columns: list[str] | None = None,
    measured: list[str] | None = None,
    intervened: list[str] | None = None,
    lags: list[int] | None = None,
    bootstraps: int | None = None,
    seed: int | None = None,
    model_folder: str = "model",
    correct: bool = False,
    round_id: int | None = None,
    now: datetime | None = None,
) -> State[dict[str, Any]]:
    """Pull the newest global model, discover on this machine's data, and submit what may be shared.

    What is left empty about the data stands in section [data] of hyperfed.toml, or is the default
    of `hyperfed submit`.

    Args:
        config: Path of this client's hyperfed.toml.
        data: Path of the series or table (CSV, Parquet, Arrow); its columns are variables of the
            round.
        edges: Path of a CSV of finished edges, in place of data and engine.
        engine: The engine's name, such as pc; or module:factory of your own, which Python finds or
            which lies beside hyperfed.toml, and which is handed `data`.
        below: Path of the hyperfed.toml of a federation below. Its newest result is submitted, and
            data are not looked at. When it is empty, there is none.
        time: The column that has the rows' time; it is found by itself where it is plain.
        series: Rows are time steps, oldest first, though no column has their time.
        every: How long a step is, such as 1h or 1mo; a longer one is then a gap, and refused.
        fill_gaps: With "none", steps that the times skip stay empty, and no lag reaches across.
        missing: What means a missing value, such as -999.
        delimiter: What separates cells; it is recognised where it is plain.
        decimal: The decimal sign; it is recognised where it is plain.
        unit: The unit of a variable in the data, by name; it is compared with the round's.
        convert: How many of the round's units are in one of the data's, by name.
        columns: The columns to use; when empty, those that the round's vocabulary names.
        measured: With edges, all variables that were measured, also those without an edge.
        intervened: Variables that an experiment set in these data.
        lags: The lags that discovery looks at, in steps. When empty, those of the round's plan,
            which refuses others.
        bootstraps: How many resamples are behind the stability.
        seed: The seed of the resampling.
        model_folder: The folder for the global model, model.npz.
        correct: Submit although an update of this round is there, which the new one replaces. A
            round accepts up to three corrections; a round of local noise accepts none.
        round_id: An earlier round that is below quorum, until its close_by; when empty, the one
            that runs now.
        now: The clock, for processes that were started with HYPERFED_REHEARSAL=1; when empty, the
            real one.
    """
    now = instant_of(now, datetime.now(UTC), dry_run=False, environment=os.environ)
    model = pull(config, model_folder, now)
    said: dict[str, object] = {
        "file": data and Path(data),
        "edges": edges and Path(edges),
        "engine": engine,
        "time": time,
        "series": series,
        "every": every,
        "fill_gaps": fill_gaps,
        "missing": missing and tuple(missing),
        "delimiter": delimiter,
        "decimal": decimal,
        "unit": unit,
        "convert": convert,
    }
    said |= {
        "columns": columns and tuple(columns),
        "measured": measured and tuple(measured),
        "intervened": intervened and tuple(intervened),
        "lags": lags and tuple(lags),
        "bootstraps": bootstraps,
        "seed": seed,
    }
    given = {name: value for name, value in said.items() if value not in (None, "", [], {})}
    sent = submit(config, given, below, correct, round_id, now)
    get_run_logger().info(
        "flow=client-night round=%d client=%s sent=%s edges=%d",
        sent["round"],
        sent["client"],
        sent["sent"],
        sent["edges"],
    )
    rename_run(f"{sent['client']}, round {sent['round']}")
    what = (
        f"update {sent['sequence']} with {sent['edges']} edges is sent"
        if sent["sent"]
        else "an update is there already, nothing was sent"
    )
    if sent.get("send_again_for"):
        what += (
            f"; the one for round {sent['send_again_for']} has the lower sequence now and "
            "is to be sent again (correct)"
        )
    return Completed(
        message=f"round {sent['round']}: {what}; global model: {model['said']}",
        data={"model": model, "update": sent},
    )
