"""Run one round of Flower's SecAgg+ in this process, and tell what each party spends.

1. The round is Flower's own: `SecAggPlusWorkflow` on the server's side and `secaggplus_mod` on each
   client's. Only the network between them is replaced, by calls. Every message is written and read
   in Flower's form on the way; that is counted in bytes, and in nobody's seconds.
2. CPU seconds of a client are those of its four visits together, without the training; the server's
   are all others.
3. Clients that drop out do so at the worst time: after they have shared their keys, before their
   masked numbers arrive. The server then computes their masks with every neighbour.
4. Settings are Flower's defaults: 22 bits a number, modulo 2^32, sent as integers of 64 bits.
"""

import logging
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import (
    Code,
    FitIns,
    FitRes,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.compat.common.recorddict_compat import fitres_to_recorddict, parameters_to_arrayrecord
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key
from flwr.supercore.task_identity import TaskIdentity

Numbers = npt.NDArray[np.float64]

__all__ = ["Spent", "secagg_plus"]


@dataclass
class Spent:
    """Holds what one round cost."""

    client_s: float
    """CPU seconds of the median client."""
    server_s: float
    """CPU seconds of everything that is not a client."""
    client_upload: int
    """Bytes that the busiest client sends, in all of its visits."""
    largest_error: float
    """Largest difference between the mean that was opened and the true one."""
    visits: int
    """How often a client speaks."""


@dataclass
class _Clients:
    """Stands for the network and all clients behind it, with the methods of Flower's Grid."""

    values: dict[int, Numbers]
    dropping: set[int]
    contexts: dict[int, Any] = field(default_factory=dict)
    seconds: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    sent: Counter[int] = field(default_factory=Counter)
    visits: Counter[int] = field(default_factory=Counter)
    carrying: float = 0.0
    calls: int = 0

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Any]:
        """Return what each client answers; those that drop out do not answer from now on."""
        self.calls += 1
        replies = []
        for message in messages:
            node = message.metadata.dst_node_id
            if self.calls > 2 and node in self.dropping:
                continue
            context = self.contexts.setdefault(node, _context(node))
            self._carry(message)
            training = [0.0]
            began = time.process_time()
            reply = secaggplus_mod(message, context, self._training(node, training))
            self.seconds[node] += time.process_time() - began - training[0]
            self.visits[node] += 1
            self.sent[node] += self._carry(reply)
            replies.append(reply)
        return replies

    def _carry(self, message: Message) -> int:
        """Bring a message to the other side, and return its bytes."""
        began = time.process_time()
        written = recorddict_to_proto(message.content).SerializeToString()
        message.content = recorddict_from_proto(ProtoRecordDict.FromString(written))
        self.carrying += time.process_time() - began
        return len(written)

    def _training(self, node: int, taken: list[float]) -> Any:
        def train(message: Any, context: Any) -> Any:
            began = time.process_time()
            parameters = ndarrays_to_parameters([self.values[node]])
            answer = FitRes(Status(Code.OK, ""), parameters, num_examples=1000, metrics={})
            reply = Message(fitres_to_recorddict(answer, False), reply_to=message)
            taken[0] = time.process_time() - began
            return reply

        return train


class _Strategy:
    """Chooses all clients, and keeps the mean that was opened."""

    def __init__(self, nodes: list[int]) -> None:
        self.nodes, self.mean = nodes, np.zeros(0)

    def configure_fit(self, server_round: int, parameters: Any, client_manager: Any) -> Any:
        return [(SimpleNamespace(node_id=node), FitIns(parameters, {})) for node in self.nodes]

    def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
        self.mean = parameters_to_ndarrays(results[0][1].parameters)[0]
        return None, {}


def _context(node: int) -> Context:
    return Context(run_id=1, node_id=node, node_config={}, state=RecordDict(), run_config={})


def secagg_plus(values: list[Numbers], *, shares: int, threshold: int, dropping: int = 0) -> Spent:
    """Return what a round of these clients' numbers costs, each within 8 of 0."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    random.seed(7)  # who neighbours whom
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1
    nodes = list(range(1, len(values) + 1))
    clients = _Clients(dict(zip(nodes, values, strict=True)), set(nodes[:dropping]))
    strategy = _Strategy(nodes)
    context = LegacyContext(
        _context(0),
        strategy=strategy,
        client_manager=SimpleNamespace(num_available=lambda: len(nodes)),
    )
    context.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({Key.CURRENT_ROUND: 1})
    none = parameters_to_arrayrecord(ndarrays_to_parameters([np.zeros(1)]), True)
    context.state.array_records[MAIN_PARAMS_RECORD] = none
    workflow = SecAggPlusWorkflow(shares, threshold)
    began = time.process_time()
    workflow(clients, context)
    whole = time.process_time() - began
    there = np.mean([values[node - 1] for node in nodes[dropping:]], axis=0)
    if strategy.mean.shape != there.shape:
        raise RuntimeError("SecAgg+ opened nothing; see its log")
    return Spent(
        client_s=median(clients.seconds.values()),
        server_s=whole - sum(clients.seconds.values()) - clients.carrying,
        client_upload=max(clients.sent.values()),
        largest_error=float(np.abs(strategy.mean - there).max()),
        visits=max(clients.visits.values()),
    )
