"""The paths of an update and of a round through the rooms, each stop a function of the code.

A stop names a function, and the module that uses it. One that is not there, or that its user does
not name, is an error: the path drawn is the path in the code.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from architecture.house import House, Module, StaleError

__all__ = ["APPLICATION", "ROUND", "UPDATE", "Stop", "check_stop", "rooms_passed"]

APPLICATION = ("blocks", "tasks", "flows")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Where a path passes through a room."""

    at: str
    """The function or class, as `module:name`, without the leading `hyperfed.`."""
    by: str
    """The module that uses it, written alike; one of the application's begins with its package."""
    does: str
    """What happens there, as the rest of a sentence."""

    @property
    def room(self) -> str:
        first = self.at.partition(":")[0].partition(".")[0]
        return "application" if first in APPLICATION else first


UPDATE = (
    Stop(
        at="engines.base:Engine.discover",
        by="client_agent",
        does="finds edges in the client's own data",
    ),
    Stop(
        at="client_agent:FederationClientAgent.get_shareable_update",
        by="client.finding",
        does="keeps the edges that the round's policy allows to leave",
    ),
    Stop(
        at="packets:Update",
        by="client_agent",
        does="holds these edges as a checked value",
    ),
    Stop(
        at="client.session:ClientSession.submit",
        by="client.night",
        does="checks plan, cohort, ledger and policy before anything is sent",
    ),
    Stop(
        at="codec.payload:PayloadCodec.encode",
        by="client.signing",
        does="turns the update into canonical bytes",
    ),
    Stop(
        at="crypto.envelope:sign_envelope",
        by="client.signing",
        does="signs the bytes, after `seal_body` has sealed them to the coordinator",
    ),
    Stop(
        at="storage.store:ObjectStore.put_if_absent",
        by="client.own_slots",
        does="writes the envelope to the client's inbox, create-only",
    ),
    Stop(
        at="dropbox.inbox:read_arrivals",
        by="coordinator.admission_stage",
        does="reads the envelope on the coordinator's side",
    ),
    Stop(
        at="validator.batch:Batch.take",
        by="coordinator.admission_stage",
        does="opens the update and judges it: a rule may refuse it, otherwise it is admitted",
    ),
    Stop(
        at="coordinator.frozen:FrozenSets.remember",
        by="coordinator.admission_stage",
        does="keeps the admitted update; a copy lies in `accepted/`",
    ),
    Stop(
        at="merge.spool:Spool.add_packed",
        by="coordinator.streamed",
        does="cuts the update's edges by key range",
    ),
    Stop(
        at="reconciler.reconcile:StoreReconciler.merge_ranges",
        by="coordinator.elsewhere",
        does="merges the ranges of all counted clients",
    ),
    Stop(
        at="aggregation.edge_weights:edge_weights",
        by="reconciler.reconcile",
        does="decides how much each client weighs in the merge",
    ),
    Stop(
        at="hypergraph.global_model:GlobalModel.of",
        by="coordinator.federation",
        does="is the outcome: the round's result",
    ),
    Stop(
        at="client.session:ClientSession.pull",
        by="client.night",
        does="brings the result back, verified against the ledger",
    ),
)

ROUND = (
    Stop(
        at="tasks.collect:collect",
        by="flows.federation_round",
        does="is the first of the flow's seven stages",
    ),
    Stop(
        at="coordinator.runner:RoundRunner.collect",
        by="tasks.collect",
        does="drives the round to a milestone, as each stage does",
    ),
    Stop(
        at="protocol.machine:step",
        by="coordinator.runner",
        does="decides what comes next, without any I/O",
    ),
    Stop(
        at="coordinator.handlers:CommandHandlers.execute",
        by="coordinator.runner",
        does="carries out the machine's commands, one by one",
    ),
    Stop(
        at="dropbox.reader:DropBoxReader.ledger",
        by="coordinator.handlers",
        does="reads plan, ledger and inbox, and verifies them",
    ),
    Stop(
        at="validator.batch:Batch.take",
        by="coordinator.admission_stage",
        does="judges each update (stage validate)",
    ),
    Stop(
        at="trust_scorer:TrustScorer.from_state",
        by="coordinator.reputation",
        does="decides, before the freeze, which clients past rounds exclude (stage score trust)",
    ),
    Stop(
        at="privacy.accountant:PrivacyAccountant.of_ledger",
        by="dropbox.budgets",
        does="decides whether the budget covers the round (stage check privacy budget)",
    ),
    Stop(
        at="reconciler.reconcile:StoreReconciler.merge",
        by="coordinator.federation",
        does="merges what the freeze counts (stage reconcile)",
    ),
    Stop(
        at="hypergraph.global_model:GlobalModel.of",
        by="coordinator.federation",
        does="is the result",
    ),
    Stop(
        at="protocol.documents:sign_object",
        by="coordinator.handlers",
        does="makes a signed document of the result, as it did of the freeze and the ledger entry",
    ),
    Stop(
        at="crypto.envelope:sign_envelope",
        by="protocol.documents",
        does="signs with the coordinator's key",
    ),
    Stop(
        at="storage.store:ObjectStore.put_if_absent",
        by="coordinator.signed_writes",
        does="publishes it, create-only",
    ),
    Stop(
        at="coordinator.receipts:Receipts.put",
        by="coordinator.handlers",
        does="writes each client's receipt (stage broadcast)",
    ),
    Stop(
        at="report.view:view_of",
        by="tasks.report",
        does="shows the round to people (stage report)",
    ),
)


def module_at(name: str, house: House, root: Path) -> Module:
    """A module of the library, or of the application beside it. Raises StaleError."""
    if name.partition(".")[0] in APPLICATION:
        path = root / f"{name.replace('.', '/')}.py"
        if path.is_file():
            return Module(name=name, path=path, text=path.read_text(encoding="utf-8"))
    elif name in house.modules:
        return house.modules[name]
    raise StaleError(f"there is no module {name}")


def check_stop(stop: Stop, house: House, root: Path) -> None:
    """Raise StaleError where the function is gone, or its user no longer names it."""
    module, _, name = stop.at.partition(":")
    if not defines(module_at(module, house, root), name, house):
        raise StaleError(f"{module} defines no {name}: mend {Path(__file__).name}")
    user = module_at(stop.by, house, root)
    missing = [word for word in name.split(".")[-1:] if word not in user.words]
    if missing:
        raise StaleError(f"{stop.by} does not use {name}: mend {Path(__file__).name}")


def defines(module: Module, name: str, house: House) -> bool:
    """Whether a module defines a function or class, or takes it from one of the library's."""
    body: Sequence[ast.stmt] = module.tree.body
    first, _, _ = name.partition(".")
    for node in body:
        if isinstance(node, ast.ImportFrom) and first in {a.name for a in node.names}:
            source = (node.module or "").removeprefix("hyperfed.")
            return source in house.modules and defines(house.modules[source], name, house)
    for part in name.split("."):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        found = [node for node in body if isinstance(node, kinds) and node.name == part]
        if not found:
            return False
        body = found[0].body
    return True


def rooms_passed(path: Sequence[Stop]) -> list[str]:
    """The library's rooms on a path, each once, in order."""
    return list(dict.fromkeys(stop.room for stop in path if stop.room != "application"))
