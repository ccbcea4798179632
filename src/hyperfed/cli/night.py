"""A client's night as plain calls: what the command's cron line and the Prefect deployment both do.

1. The newest model is fetched, verified, and replaced in its folder at once or not at all.
2. What is sent is what the built-in engine finds in a CSV, or the newest committed model of a federation below: a basket with its own coordinator is a
   client of the federation above, and its round's result is its update there.
3. An update is sent once a round: what lies in this client's own slots is looked at first, so that a second run sends nothing unless it corrects.

What it does not do: choose another engine (`hyperfed submit --engine` does), schedule.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hyperfed.cli.invocation import Invocation
from hyperfed.client.session import ClientSession
from hyperfed.client_agent import FederationClientAgent
from hyperfed.engines import Engine, FederationEngine, VarEngine, read_csv
from hyperfed.errors import ConfigError, EngineError, RoundError
from hyperfed.protocol.objects import Plan
from hyperfed.rounds import Keys

__all__ = ["fetch_model", "open_session", "submit_update"]


def open_session(config: Path, *, signing: bool = True) -> ClientSession:
    """The session that a hyperfed.toml describes; signing False: it only reads. Raises ConfigError."""
    invocation = Invocation()
    invocation.config = config
    return invocation.session(signing=signing)


def _clock(now: datetime | None) -> datetime:
    return now or datetime.now(UTC).replace(microsecond=0)


def fetch_model(session: ClientSession, folder: Path, *, now: datetime | None = None) -> dict[str, Any]:
    """Save the newest committed model as model.npz; its round, digest, and a sentence. Raises what `ClientSession.pull` does."""
    found = session.pull(now=_clock(now))
    if found is None:
        return {"round": 0, "digest": "", "edges": 0, "said": "none is committed yet"}
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / ".model.part.npz"
    found.value.store.save(part)
    part.replace(folder / "model.npz")
    return {"round": found.value.round, "digest": found.digest.hex(), "edges": len(found.value.edges), "said": f"that of round {found.value.round}"}


def submit_update(
    session: ClientSession, data: Path | None, *, below: ClientSession | None = None, max_lag: int = 1, correct: bool = False, now: datetime | None = None
) -> dict[str, Any]:
    """Send what the plan lets be shared of what was found in a CSV, or by the federation below. Raises ConfigError, EngineError, RoundError, TransportError."""
    if (data is None) == (below is None):
        raise ConfigError("one source is needed", subject="night", remedy="Give the series (--data), or the settings of a federation below (--below)")
    moment = _clock(now)
    plan = session.plan_at(moment)
    there = [info.key for info in session.store.list(Keys.inbox(plan.value.round, session.client_id))]
    said: dict[str, Any] = {"client": session.client_id, "round": plan.value.round, "deadline": plan.value.deadline.isoformat()}
    if there and not correct:
        return said | {"sent": False, "key": there[-1], "sequence": session.memory.marks.sequence, "edges": 0}
    if below is not None and below.reader.registry.federation == plan.value.federation:
        raise ConfigError("is the federation itself", subject=f"--below {plan.value.federation}", remedy="Its own result is no evidence for it; name one below")
    engine = _below(below, moment) if below is not None else _series(data or Path(), plan.value, max_lag)
    agent = FederationClientAgent(engine, session.client_id, policy=plan.value.policy, vocabulary=plan.value.vocabulary)
    sent = session.submit(agent.get_shareable_update(), now=moment, plan=plan)
    return said | {"sent": True, "key": sent.key, "sequence": sent.sequence, "edges": sent.edges}


def _series(data: Path, plan: Plan, max_lag: int) -> Engine:
    known = plan.vocabulary.names
    header = data.read_text(encoding="utf-8-sig").partition("\n")[0]
    columns = tuple(name.strip() for name in header.split(",") if name.strip() in known)
    if not columns:
        raise EngineError("no column is a variable of the round", subject=str(data), remedy=f"The round's vocabulary has: {', '.join(known)[:200]}")
    names, values = read_csv(data, columns=columns)
    return VarEngine(values, names, max_lag=min(max_lag, max(1, plan.policy.max_lag)), rng=0)


def _below(session: ClientSession, now: datetime) -> Engine:
    """The newest committed model of the federation below, verified as any client of it would."""
    found = session.pull(now=now)
    if found is None:
        raise RoundError("has no committed result yet", subject=session.reader.registry.federation, remedy="Nothing was sent; its first round comes first")
    return FederationEngine(found.value)
