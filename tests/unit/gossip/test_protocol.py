"""`GossipProtocol` over the transport of one process."""

import numpy as np
import numpy.typing as npt
import pytest

from hyperfed.gossip import GossipProtocol
from hyperfed.gossip.messages import encode_share
from hyperfed.gossip.mixing import GossipState
from hyperfed.transport import InMemoryHub
from tests.unit.gossip.noised import LENGTH, plan_of, vector

Basket = tuple[dict[str, GossipProtocol], npt.NDArray[np.float64]]


@pytest.fixture
def basket() -> Basket:
    plan, hub = plan_of(12, degree=4, epochs=9), InMemoryHub()
    messages = np.random.default_rng(7).normal(0, 1, (12, LENGTH))
    return {
        client: GossipProtocol(plan, client, vector(messages[i]), hub.connect(client))
        for i, client in enumerate(plan.clients)
    }, messages


def test_a_basket_agrees_step_by_step(
    basket: Basket,
) -> None:
    protocols, messages = basket
    assert all(protocol.step().sent == 4 for protocol in protocols.values())
    while not all(protocol.finished for protocol in protocols.values()):
        for protocol in protocols.values():
            protocol.step()
    for protocol in protocols.values():
        protocol.receive()
        np.testing.assert_allclose(protocol.average, messages.mean(axis=0), atol=2e-2)


def test_what_cannot_be_read_is_dropped_and_stops_nobody(
    basket: Basket,
) -> None:
    protocols, _ = basket
    plan = protocols["c000"].state.plan
    peer = plan.neighbours(0, "c000")[0]
    hub = InMemoryHub()
    honest = GossipProtocol(plan, "c000", vector(0.0), hub.connect("c000"))
    share = GossipState(plan, peer, vector(1.0)).push()["c000"]
    hub.connect("ghost").send("c000", b"not a share")
    hub.connect("ghost").send("c000", encode_share(share))  # in another's name
    assert honest.receive() == (0, 2)
    hub.connect(peer).send("c000", encode_share(share))
    step = honest.step()
    assert (step.added, step.dropped) == (1, 0)
