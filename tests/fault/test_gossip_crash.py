"""A client that is killed between any two operations of its gossip, by a real SIGKILL, goes on with
what it had: one message a round (R-149), charged once, and no part of a vector lost or given twice.
"""

import os
import shutil
import signal
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hyperfed.client.gossip_memory
import hyperfed.privacy.guard
from hyperfed.client import ClientMemory
from hyperfed.client.gossip import GossipAtDropBox
from hyperfed.codec import PayloadCodec
from hyperfed.crypto.sealing import open_body
from hyperfed.gossip.sealed import verify_gossip
from hyperfed.gossip.terms import terms_of
from hyperfed.packets import PolicyPack, Update
from hyperfed.privacy.slots import dense, public_slots
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import Budget
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.testing.federation import SmallFederation
from tests.fault.victim import Doomed

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork beside threads

VICTIM = "site-02"
LOCAL: dict[str, Any] = {"strategy": "mean", "trust_min": 0.0, "privacy": "local", "g_min": 0.0}


class Doom:
    """Counts what the victim does to its store and its disk, and ends it by SIGKILL."""

    def __init__(self, left: int) -> None:
        self.left = left

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, write: Callable[..., None]) -> Callable[..., None]:
        def counted(*args: Any, **options: Any) -> None:
            self.count()  # before it is on disk: after it is before the next operation
            write(*args, **options)

        return counted


class DoomedStore(Doomed):
    """A store whose process dies by the same count."""

    def __init__(self, inner: FilesystemStore, doom: Doom) -> None:
        super().__init__(inner, 0)
        self.doom = doom

    def _do(self, operation: Callable[[], Any]) -> Any:
        self.doom.count()
        return operation()


def federation(folder: Path, **policy: Any) -> SmallFederation:
    (folder / "box").mkdir(parents=True)
    share = Budget(gossip_epsilon=Decimal(4), gossip_delta=Decimal("0.00001"))
    fed = SmallFederation(
        store=FilesystemStore(folder / "box"),
        budget=share,
        policy=PolicyPack(**({"lags": (1,)} | policy)),
    )
    fed.open(1)
    remember(fed, folder)
    return fed


def remember(fed: SmallFederation, folder: Path) -> None:
    fed.memories = {c: ClientMemory(folder / f"{c}.json") for c in fed.clients}


def step(fed: SmallFederation, client: str, hours: float, store: Any = None) -> None:
    around = GossipAtDropBox(fed.session(client, store=store))
    around.exchange(lambda plan: fed.update(client), now=fed.opens(1) + timedelta(hours=hours))


def killed(fed: SmallFederation, hours: float, left: int) -> bool:
    """Runs the victim's step in a process of its own; whether it was killed on the way."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        doom = Doom(left)
        for module in (hyperfed.client.gossip_memory, hyperfed.privacy.guard):
            module.write_durably = doom.around(module.write_durably)  # type: ignore[attr-defined]
        try:
            step(fed, VICTIM, hours, DoomedStore(fed.store, doom))  # type: ignore[arg-type]
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or status == 0, "the step failed before it was killed"
    return os.WIFSIGNALED(status)


def weight(fed: SmallFederation, folder: Path) -> float:
    """All weight there is: at the clients, and in shares that somebody has still to read."""
    remember(fed, folder)
    total = 0.0
    for client in fed.clients:
        around = GossipAtDropBox(fed.session(client))
        kept = fed.memories[client].gossip.of(1)
        if kept is None:
            continue
        terms = terms_of(fed.reader(), client, 1)
        state = around._state(terms, kept)
        total += state.weight
        for sender in fed.clients:
            for epoch in range(terms.plan.epochs):
                if sender == client or state.has_heard(sender, epoch):
                    continue
                if fed.store.head(Keys.gossip(1, epoch, sender)) is None:
                    continue
                total += read_weight(fed, client, sender, epoch)
    return total


def read_weight(fed: SmallFederation, client: str, sender: str, epoch: int) -> float:
    from hyperfed.gossip.sealed import open_share

    around = GossipAtDropBox(fed.session(client))
    data = fed.store.read(Keys.gossip(1, epoch, sender), max_bytes=1 << 20)
    peers = around._peers(terms_of(fed.reader(), client, 1))
    now = fed.opens(1) + timedelta(hours=20)
    return open_share(data, peers, sender=sender, epoch=epoch, now=now).weight


@pytest.mark.timeout(600)  # many durable writes, on a disk that others use too
@pytest.mark.parametrize("policy", [{}, LOCAL], ids=["gossip's share", "local round"])
def test_a_client_killed_anywhere_in_its_gossip_goes_on(
    policy: dict[str, Any], tmp_path: Path
) -> None:
    kills = 0
    for hours, at in ((1, "begin"), (2, "push")):
        fed = federation(tmp_path / at, **policy)
        for client in fed.clients:
            if client != VICTIM or at == "push":
                step(fed, client, 1)
        for left in range(1, 200):
            folder = tmp_path / f"{at}-{left}"
            shutil.copytree(tmp_path / at, folder)
            fed.store = FilesystemStore(folder / "box")
            remember(fed, folder)
            if not killed(fed, hours, left):
                break
            kills += 1
            remember(fed, folder)
            lying = fed.objects(Keys.gossip(1, 0))
            step(fed, VICTIM, hours + 1)  # the next run of its timer
            first = fed.objects(Keys.gossip(1, 0))
            assert lying.items() <= first.items()  # what was there is the message still
            assert weight(fed, folder) == pytest.approx(3.0, abs=1e-12)
            guard = fed.memories[VICTIM].gossip_guard(Decimal(4), Decimal("0.00001"))
            charged = len(guard.accountant.mechanisms)
            rounds = fed.memories[VICTIM].privacy_guard(fed.registry.budget)
            assert charged + len(rounds.accountant.mechanisms) == 1
        else:
            pytest.fail("the step never ended")
    assert kills > 15


def test_after_a_kill_the_basket_finds_the_average_of_all_messages(tmp_path: Path) -> None:
    fed = federation(tmp_path / "fed")
    for client in fed.clients:
        if client != VICTIM:
            step(fed, client, 1)
    assert killed(fed, 1, 10)
    remember(fed, tmp_path / "fed")
    for hours in range(2, 7):
        for client in fed.clients:
            step(fed, client, hours)
    slots, found = public_slots(4, (1,)), []
    for client in fed.clients:
        data = fed.store.read(Keys.gossip(1, 0, client), max_bytes=1 << 20)
        signed = verify_gossip(data, registry=fed.registry, client=client, round_id=1, epoch=0)
        update = PayloadCodec().decode(open_body(signed, fed.keys[client]), Update)
        assert update.edges is not None
        found.append(dense(update.edges, slots))
    around = GossipAtDropBox(fed.session(VICTIM))
    average = around.average(now=fed.opens(1) + timedelta(hours=9))
    # five exchanges shrink what is left of a difference to some ten-thousandths of it
    off = np.abs(average.values - np.mean(found, axis=0)).max()
    assert off < 1e-3 * np.ptp(found)
