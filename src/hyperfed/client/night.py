"""Run a client's night as plain calls: the command's cron line and the Prefect deployment share it.

1. The newest model is fetched, verified, and replaced in its folder at once or not at all.
2. What is sent comes from where `hyperfed submit` would take it (`sources`), or is the newest
   committed model of a federation below. A basket with its own coordinator is a client of the
   federation above, and its round's result is its update there: in a round of effects under masks
   as one masked message (R-203).
3. An update is for the running round, or for an earlier one that is below quorum, until its
   `close_by`.
4. An update is sent once a round: this client's own slots are read first, so that a second run
   sends nothing unless it corrects.
5. An epoch of gossip is a call of its own (`client.gossip`), and so is a helper's visit
   (`client.helper_night`).

What it does not do: it does not schedule.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hyperfed.client.finding import discover, find
from hyperfed.client.gossip import GossipAtDropBox
from hyperfed.client.helper_night import HelperVisit, helper_visit
from hyperfed.client.opening import Opening
from hyperfed.client.session import ClientSession
from hyperfed.client.settings import find_config, load_settings
from hyperfed.client.sources import Source, read_source
from hyperfed.engines import Engine, FederationEngine
from hyperfed.errors import ConfigError, RefusedError, RoundError
from hyperfed.packets import Update
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Plan

__all__ = [
    "discovering",
    "fetch_model",
    "gossip_epoch",
    "help_open",
    "open_session",
    "open_source",
    "submit_update",
]


def open_session(
    config: Path, *, signing: bool = True, now: datetime | None = None
) -> ClientSession:
    """Return the session that a hyperfed.toml describes.

    `signing` says whether it will sign; otherwise it only reads. `now` replaces the clock, for
    rehearsals. Raises ConfigError.
    """
    settings = load_settings(find_config(config))
    return Opening(settings, now=lambda: _clock(now)).session(signing=signing)


def help_open(config: Path, *, now: datetime | None = None) -> HelperVisit:
    """Do what is due for the helper whose hyperfed.toml this is, and return what was done.

    Raises whatever `HelperNight.visit` raises.
    """
    opening = Opening(load_settings(find_config(config)), now=lambda: _clock(now))
    return helper_visit(opening, now=_clock(now))


def discovering(source: Source | None, client_id: str) -> Callable[[Plan], Update]:
    """Return what finds this client's update for a plan, when it is asked for one.

    What it returns raises ConfigError where there is no source.
    """

    def find_now(plan: Plan) -> Update:
        if source is None:
            raise ConfigError(
                "no data are given, and this round's message is still to be drawn",
                subject="gossip",
                remedy="Give the series (--data), finished edges (--edges), an engine (--engine) "
                "or section [data] of hyperfed.toml. Nothing was noised or sent",
            )
        return discover(source, plan, client_id).update

    return find_now


def gossip_epoch(
    session: ClientSession,
    source: Source | None,
    *,
    round_id: int | None = None,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Run one epoch of a round's gossip, and return where this client stands.

    Raises whatever `GossipAtDropBox.exchange` raises.
    """
    around = GossipAtDropBox(session)
    exchange = around.exchange(
        discovering(source, session.client_id), now=_clock(now), round_id=round_id
    )
    return {
        "client": session.client_id,
        "round": exchange.round,
        "epoch": exchange.epoch,
        "epochs": exchange.epochs,
        "began": exchange.began,
        "added": exchange.added,
        "sent": exchange.sent,
        "dropped": len(exchange.dropped),
    }


def open_source(config: Path, overrides: Mapping[str, Any] | None = None) -> Source | None:
    """Return the source that section [data] of a hyperfed.toml names, with `overrides`.

    Returns None where neither names one. Raises ConfigError.
    """
    options = {f"data.{name}": value for name, value in (overrides or {}).items()}
    settings = load_settings(find_config(config)).with_overrides(options)
    return read_source(settings, overrides or {})


def _clock(now: datetime | None) -> datetime:
    return now or datetime.now(UTC).replace(microsecond=0)


def fetch_model(
    session: ClientSession, folder: Path, *, now: datetime | None = None
) -> dict[str, Any]:
    """Save the newest committed model as model.npz, and return its round, digest and a sentence.

    Raises ConfigError where the file cannot be written, and whatever `ClientSession.pull` raises.
    """
    session.memory.box_keys.forget(now=_clock(now))
    result = session.pull(now=_clock(now))
    if result is None:
        return {"round": 0, "digest": "", "edges": 0, "said": "none is committed yet"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"cannot be written: {exc.strerror}",
            subject=str(folder),
            remedy="Give a folder for the model (--out) that this user may write",
        ) from exc
    result.value.graph.save(folder / "model.npz")
    return {
        "round": result.value.round,
        "digest": result.digest.hex(),
        "edges": len(result.value.edges),
        "said": f"that of round {result.value.round}",
    }


def submit_update(
    session: ClientSession,
    source: Source | None,
    *,
    below: ClientSession | None = None,
    correct: bool = False,
    round_id: int | None = None,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Send what the plan allows to be shared of the source's edges, or of the federation below.

    Returns what was sent, or what an earlier run has sent already. Raises ConfigError, EngineError,
    RoundError, TransportError.
    """
    if (source is None) == (below is None):
        raise ConfigError(
            "one source is needed",
            subject="night",
            remedy="Give the series (--data), finished edges (--edges), an engine (--engine) "
            "or section [data] of hyperfed.toml; "
            "or the settings of a federation below (--below)",
        )
    moment = _clock(now)
    plan = session.plan_at(moment, round_id)
    slots_used = [
        info.key for info in session.store.list(Keys.inbox(plan.value.round, session.client_id))
    ]
    answer: dict[str, Any] = {
        "client": session.client_id,
        "round": plan.value.round,
        "deadline": plan.value.deadline.isoformat(),
    }
    if slots_used and not correct:
        return answer | {
            "sent": False,
            "key": slots_used[-1],
            "sequence": session.memory.marks.sequence,
            "edges": 0,
        }
    if below is not None and below.reader.registry.federation == plan.value.federation:
        raise ConfigError(
            "is the federation itself",
            subject=f"--below {plan.value.federation}",
            remedy="Name a federation below: its own result is no evidence for it",
        )
    if below is not None:
        _check_result_counts(session, below, plan.value)
    if source is not None:
        discovery = discover(source, plan.value, session.client_id)
    elif below is not None:
        discovery = find(_below(below, moment), plan.value, session.client_id)
    next_round = session.sent_later(plan.value.round, now=moment)
    sent = session.submit(discovery.update, now=moment, plan=plan)
    return (
        discovery.document
        | answer
        | {
            "sent": True,
            "key": sent.key,
            "sequence": sent.sequence,
            "edges": sent.edges,
            "send_again_for": next_round,
        }
    )


def _check_result_counts(session: ClientSession, below: ClientSession, plan: Plan) -> None:
    """Check that a round takes the result of the federation below as one client's update (R-203).

    Raises RefusedError where the round adds statistics, or where its noise hides records, and
    nobody attests how far one moves the result.
    """
    subject = f"federation {below.reader.registry.federation}"
    if plan.policy.payload != "edges":
        raise RefusedError(
            f"has results of edges, and round {plan.round} adds statistics: a result holds no "
            "moments",
            subject=subject,
            rule="R-160",
            remedy="Nothing was sent. Its clients can take part in this federation themselves, as "
            "blocks of their own, or the operator plans payload = 'edges', with noise in shares "
            "where sums are secure",
        )
    hides_records = (
        plan.policy.privacy != "none" and session.reader.registry.budget.unit == "record"
    )
    if hides_records and session.record_bound is None:
        raise RefusedError(
            f"has a result that attests no record bound, and the noise of round {plan.round} hides "
            "records",
            subject=subject,
            rule="R-203",
            remedy="Nothing was sent. Take part in a federation whose budget's unit is the client: "
            "it hides the whole result. Write [client] record_bound only if you can prove how far "
            "one record of one client below moves the result",
        )


def _below(session: ClientSession, now: datetime) -> Engine:
    """Return an engine over the newest committed model of the federation below.

    The model is verified as any client of that federation would. Raises RoundError before the
    first.
    """
    result = session.pull(now=now)
    if result is None:
        raise RoundError(
            "has no committed result yet",
            subject=session.reader.registry.federation,
            remedy="Wait for its first round. Nothing was sent",
        )
    return FederationEngine(result.value)
