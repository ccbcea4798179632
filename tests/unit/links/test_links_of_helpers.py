"""Links in a federation with secure sums: clients and helpers that have nothing else do their part
of a night, and no link reaches beyond it (R-53).
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from hyperfed.client.helper_night import HelperNight, HelperVisit
from hyperfed.coordinator.runner import Why
from hyperfed.errors import AccessDenied, SchemaError
from hyperfed.links.bundle import Links
from hyperfed.protocol.object_keys import Keys
from hyperfed.storage.store import ObjectInfo, ObjectStore
from tests.secure_night import HELPERS, MEMBERS, SecureNight, named, update
from tests.unit.links.signing_store import SigningStore, issuer, opened


class Reached(ObjectStore):
    """What a bundle's links reach of a store, and nothing else."""

    def __init__(self, inner: ObjectStore, links: Links) -> None:
        self.inner = inner
        self.gets = {link.key for link in links.gets}
        self.puts = {link.key for link in links.puts}

    def _check(self, key: str, keys: set[str]) -> None:
        if key not in keys:
            raise AccessDenied("no link leads there", subject=key)

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        self._check(key, self.puts)
        return self.inner.put_if_absent(key, data)

    def read(self, key: str, *, max_bytes: int) -> bytes:
        self._check(key, self.gets)
        return self.inner.read(key, max_bytes=max_bytes)

    def head(self, key: str) -> ObjectInfo | None:
        self._check(key, self.gets)
        return self.inner.head(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return (info for info in self.inner.list(prefix) if info.key in self.gets)


@pytest.fixture
def night() -> SecureNight:
    return SecureNight(store=SigningStore())


def reached(night: SecureNight, who: str, round_id: int) -> Reached:
    fed = night.federation
    links = opened(fed, issuer(fed, round_id).bundle(who).data, who)
    return Reached(fed.store, links)


def visit(night: SecureNight, helper: str, *, now: datetime) -> HelperVisit:
    """Let a helper come with the links of the round whose window runs."""
    running = night.federation.registry.windows.round_at(now)
    store = reached(night, helper, running)
    session = night.federation.session(helper, store=store)
    return HelperNight(session, night.memories[helper]).visit(now=now)


def test_a_night_with_nothing_but_links(night: SecureNight) -> None:
    fed = night.federation
    for helper in HELPERS:
        assert visit(night, helper, now=fed.opens(1)).published == [1, 2, 3]
    fed.open(1, quorum=3)
    for seed, client in enumerate(MEMBERS):
        session = fed.session(client, store=reached(night, client, 1))
        at = fed.opens(1) + timedelta(hours=1)
        session.submit(update(seed), now=at, plan=session.plan(1))
    for helper in HELPERS[:3]:
        assert visit(night, helper, now=fed.night(1)).confirmed == {1: 4}
    named(night)
    later = fed.night(1) + timedelta(minutes=5)
    for helper in HELPERS[:3]:
        assert visit(night, helper, now=later).answered == [1]
    assert fed.run(1, now=later).why is Why.COMMITTED


def test_a_helpers_links_write_its_own_parts_and_read_no_update(night: SecureNight) -> None:
    helper, client = (reached(night, who, 3) for who in ("help-1", "ward-1"))
    parts = {key for key in helper.puts if "/openings/" in key}
    rounds = range(1, 6)
    assert parts == {
        key
        for r in rounds
        for key in (
            Keys.helper_key(r, "help-1"),
            Keys.confirmation(r, "help-1"),
            Keys.opening(r, "help-1"),
            Keys.helper_refusal(r, "help-1"),
        )
    } | {key_of(r, "help-1") for r in rounds for key_of in (Keys.boxes, Keys.rebuttal)}
    assert Keys.freeze(2) in helper.gets
    assert not any("/accepted/" in key or ("inbox" in key and "ward" in key) for key in helper.gets)
    assert {key for key in client.puts if "/openings/" in key} == {
        key_of(r, "ward-1") for r in rounds for key_of in (Keys.boxes, Keys.rebuttal)
    }
    assert not any(name in key for key in client.gets for name in ("sums", "manifest", "freeze"))
    assert Keys.confirmation(3, "help-1") in client.gets, "it reads who refused its boxes"


def test_a_helpers_links_reach_what_was_ever_reserved(night: SecureNight) -> None:
    """So that one who is new knows earlier cohorts (R-212); a client's links reach no freeze."""
    fed = night.federation
    night.confirmed()
    named(night)
    assert fed.run(1, now=fed.plan(1).close_by).why is Why.VOID
    helper, client = (reached(night, who, 20) for who in ("help-1", "ward-1"))
    assert {Keys.freeze(1), Keys.plan(1)} <= helper.gets
    assert not {Keys.freeze(2), Keys.plan(2)} & helper.gets
    assert not {Keys.freeze(1), Keys.plan(1)} & client.gets


def test_links_to_others_parts_of_an_opening_cannot_be_made(night: SecureNight) -> None:
    fed = night.federation
    links = opened(fed, issuer(fed, 1).bundle("help-1").data, "help-1")
    own = next(link for link in links.gets if link.key == Keys.boxes(1, "ward-1"))
    changed = {name: getattr(links, name) for name in Links.__dataclass_fields__}
    with pytest.raises(SchemaError, match="its own parts of an opening"):
        Links(**{**changed, "puts": (own,)})
