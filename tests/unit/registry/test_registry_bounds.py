"""What a registry may say, at its ends; what a version keeps of the one before; when it holds."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hyperfed.config import DEFAULT_LIMITS
from hyperfed.crypto.keys import PublicKeys
from hyperfed.dropbox.registries import RegistryChain, publish_registry
from hyperfed.errors import ConfigError, HyperfedError, RegistryError, RoundError
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.annulments import Annulment
from hyperfed.registry.registry import (
    ClientRecord,
    KeyRecord,
    Registry,
    read_registry,
    sign_registry,
)
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import GENESIS, SmallFederation, key_of

pytestmark = pytest.mark.unit

SECOND = timedelta(seconds=1)
FED = SmallFederation(clients=("alice", "bob-1", "carol"))
FIRST = FED.registry
BEFORE = (FIRST, FED.registry_digest)


def record(name: str, **changes: Any) -> ClientRecord:
    fields = {"organisation": name, "keys": (KeyRecord(keys=key_of(name).public),)}
    return ClientRecord(client_id=name, **(fields | changes))


def next_version(**changes: Any) -> Registry:
    return replace(FIRST, version=2, previous=BEFORE[1], **changes)


# -- bounds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"expires": GENESIS + 2 * SECOND, "issued": GENESIS + SECOND}, ""),
        ({"expires": GENESIS + SECOND, "issued": GENESIS + SECOND}, "R-122"),
        ({"expires": GENESIS, "issued": GENESIS - SECOND}, "R-122"),
        ({"close_windows": 10_000}, ""),
        ({"close_windows": 10_001}, "R-116"),
        ({"close_windows": -1}, "R-116"),
        ({"annulled": (Annulment(sequence=2, digest=b"a" * 32),) * 2}, "R-123"),
        ({"clients": (record("bob-1"), record("bob_1"))}, "R-22"),
        ({"clients": (record("bob-1"), record("bob_2"))}, ""),
        ({"roots": tuple(key_of(f"r{n}").public for n in range(32)), "threshold": 32}, ""),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
def test_what_just_fits_a_registry_and_what_does_not(changes: dict[str, Any], rule: str) -> None:
    if not rule:
        replace(FIRST, **changes)
        return
    with pytest.raises(RegistryError) as caught:
        replace(FIRST, **changes)
    assert caught.value.rule == rule


def test_an_expiry_names_an_instant() -> None:
    with pytest.raises(ConfigError, match="time zone"):
        replace(FIRST, expires=(GENESIS + SECOND).replace(tzinfo=None))


def test_ids_that_look_alike_are_both_named() -> None:
    with pytest.raises(RegistryError, match="client bob-1: looks like bob_1"):
        replace(FIRST, clients=(record("alice"), record("bob-1"), record("bob_1")))


def test_a_key_that_verifies_what_nobody_signed_is_registered_for_nobody() -> None:
    small = PublicKeys(signing=b"\1" + bytes(31), sealing=key_of("mallory").public.sealing)
    clients = (*FIRST.clients, record("mallory", keys=(KeyRecord(keys=small),)))
    with pytest.raises(RegistryError, match="not a valid Ed25519 point"):
        replace(FIRST, clients=clients)


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"organisation": "x" * 200}, True),
        ({"organisation": ""}, True),
        ({"organisation": "x" * 201}, False),
        ({"basket": "x" * 200}, True),
        ({"basket": "x" * 201}, False),
        ({"client_id": "coordinator"}, False),
        ({"client_id": "root"}, False),
        ({"client_id": "No"}, False),
    ],
    ids=str,
)
def test_what_just_fits_a_client_record_and_what_does_not(
    changes: dict[str, Any], good: bool
) -> None:
    if good:
        replace(record("alice"), **changes)
        return
    with pytest.raises((RegistryError, ConfigError)) as caught:
        replace(record("alice"), **changes)
    assert caught.value.rule == "R-22"


@pytest.mark.parametrize(("low", "high"), [(0, 0), (5, 5), (1, (1 << 53) - 1)])
def test_a_key_may_speak_in_one_round_or_for_ever(low: int, high: int) -> None:
    key = KeyRecord(keys=key_of("alice").public, valid_from=low, valid_until=high)
    assert key.valid_in(low)
    assert key.valid_in(high)


# -- who is in it ----------------------------------------------------------------------------------


def test_a_client_is_found_by_its_whole_id() -> None:
    for name in FED.clients:
        assert FIRST.client(name).client_id == name
        assert FIRST.keys_of(name) == FIRST.client(name).keys
    for name in ("aaa", "bob", "bob-11", "zoe"):
        assert FIRST.keys_of(name) == ()
        with pytest.raises(RegistryError, match="not in the registry"):
            FIRST.client(name)


def test_a_client_is_added_or_replaced() -> None:
    added = FIRST.with_client(record("bob-0"), previous=BEFORE[1], issued=GENESIS)
    assert [c.client_id for c in added.clients] == ["alice", "bob-0", "bob-1", "carol"]
    moved = replace(FIRST.client("bob-1"), basket="north")
    replaced = FIRST.with_client(moved, previous=BEFORE[1], issued=GENESIS)
    assert replaced.clients == (FIRST.clients[0], moved, FIRST.clients[2])


def test_a_key_that_would_begin_with_its_revocation_is_left_out() -> None:
    """No key is kept that is valid in no round, and one that was valid before stays until then."""
    keys = tuple(
        KeyRecord(keys=key_of(f"bob {n}").public, valid_from=n, valid_until=n + 2) for n in (3, 5)
    )
    registry = replace(FIRST, clients=(FIRST.clients[0], record("bob-1", keys=keys)))
    for from_round, left in ((5, [(3, 4)]), (6, [(3, 5), (5, 5)]), (3, []), (9, [(3, 5), (5, 7)])):
        revoked = registry.revoke(
            "bob-1", from_round=from_round, previous=BEFORE[1], issued=GENESIS
        )
        kept = [(r.valid_from, r.valid_until) for r in revoked.keys_of("bob-1")]
        assert kept == left
        assert revoked.version == 2
        assert revoked.keys_of("alice") == FIRST.keys_of("alice")


def test_a_coordinator_has_the_key_of_that_id_in_that_round() -> None:
    keys = [KeyRecord(keys=key_of(f"c{n}").public, valid_from=n, valid_until=n) for n in (1, 2)]
    registry = replace(FIRST, coordinators=tuple(keys))
    for n in (1, 2):
        key = key_of(f"c{n}")
        assert registry.coordinator_key(key.key_id, n) == key.public.signing
        assert registry.coordinator_key(key.key_id) == key.public.signing
        assert registry.coordinator_key(key.key_id, 3 - n) is None
    assert registry.coordinator_key("0" * 16) is None


# -- when it holds ---------------------------------------------------------------------------------


def test_a_version_holds_until_the_instant_at_which_it_expires() -> None:
    ends = GENESIS + timedelta(days=3)
    registry = replace(FIRST, expires=ends)
    registry.check_fresh(ends - SECOND, skew_s=0)
    registry.check_fresh(ends + 9 * SECOND, skew_s=10)
    FIRST.check_fresh(ends + timedelta(days=9_000), skew_s=0)
    for now, skew_s in ((ends, 0), (ends + 10 * SECOND, 10)):
        with pytest.raises(RegistryError, match="version 1 expired") as caught:
            registry.check_fresh(now, skew_s=skew_s)
        assert caught.value.rule == "R-122"


def test_a_round_stays_open_for_as_many_windows_as_the_roots_allow() -> None:
    bounded = replace(FIRST, close_windows=2)
    last = FIRST.windows.deadline(7)
    bounded.check_close_by(5, last)
    FIRST.check_close_by(5, last + SECOND)
    with pytest.raises(RoundError, match="more than 2 windows") as caught:
        bounded.check_close_by(5, last + SECOND)
    assert caught.value.rule == "R-116"


def test_helpers_keep_a_rounds_key_for_as_long_as_the_round_may_stay_open() -> None:
    """R-198: where the roots set no bound, for seven windows."""
    assert replace(FIRST, close_windows=2).help_ends(5) == FIRST.windows.deadline(7)
    assert FIRST.help_ends(5) == FIRST.windows.deadline(12)


# -- what follows ----------------------------------------------------------------------------------

KEPT = (Annulment(sequence=2, digest=b"a" * 32),)
MORE = (*KEPT, Annulment(sequence=3, digest=b"b" * 32))


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, True),
        ({"annulled": MORE}, True),
        ({"annulled": ()}, False),
        ({"annulled": MORE[1:]}, False),
        ({"least_sequences": (("alice", 6), ("carol", 1))}, True),
        ({"least_sequences": ()}, False),
        ({"least_sequences": (("alice", 4),)}, False),
        ({"least_sequences": (("carol", 9),)}, False),
    ],
    ids=str,
)
def test_what_the_roots_have_annulled_no_version_takes_back(
    changes: dict[str, Any], good: bool
) -> None:
    said = {"annulled": KEPT, "least_sequences": (("alice", 5),)}
    data = sign_registry(next_version(**said), FED.roots)
    before = read_registry(data, before=BEFORE, fingerprint=None)
    third = replace(before[0], version=3, previous=before[1], **changes)
    signed = sign_registry(third, FED.roots)
    if good:
        assert read_registry(signed, before=before, fingerprint=None)[0] == third
        return
    with pytest.raises(RegistryError, match="takes back what version 2 annulled") as caught:
        read_registry(signed, before=before, fingerprint=None)
    assert caught.value.rule == "R-123"


def test_anybodys_first_version_is_read_within_narrower_limits_than_a_verified_one() -> None:
    narrow = replace(DEFAULT_LIMITS, max_values=20)
    first = sign_registry(FIRST, FED.roots)
    with pytest.raises(HyperfedError, match="values"):
        read_registry(first, before=None, fingerprint=FED.fingerprint, limits=narrow)
    second = sign_registry(next_version(), FED.roots)
    assert read_registry(second, before=BEFORE, fingerprint=None, limits=narrow)[0].version == 2
    assert read_registry(first, before=None, fingerprint=None)[0] == FIRST


# -- in the drop-box -------------------------------------------------------------------------------


class Raced(MemoryStore):
    """A store at which somebody else writes just before us."""

    def __init__(self, theirs: bytes) -> None:
        super().__init__()
        self.put_if_absent(Keys.registry(1), sign_registry(FIRST, FED.roots))
        self.theirs = theirs

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        if key == Keys.registry(2):
            super().put_if_absent(key, self.theirs)
        return super().put_if_absent(key, data)


def test_of_two_versions_with_one_number_the_second_is_refused() -> None:
    ours = sign_registry(next_version(), FED.roots)
    theirs = sign_registry(next_version(close_windows=3), FED.roots)
    store = Raced(theirs)
    with pytest.raises(RegistryError, match="another registry already holds") as caught:
        publish_registry(store, ours)
    assert caught.value.rule == "R-23"
    assert publish_registry(Raced(ours), ours) == Keys.registry(2), "our own write, seen again"


def test_a_chain_is_read_up_to_a_version_and_says_which_it_has() -> None:
    store = MemoryStore()
    publish_registry(store, sign_registry(FIRST, FED.roots))
    publish_registry(store, sign_registry(next_version(), FED.roots))
    chain = RegistryChain(fingerprint=FED.fingerprint)
    assert chain.proof == b""
    assert [len(chain.read_new(store, until=n)) for n in (1, 1, 2)] == [1, 0, 1]
    assert chain.newest(not_below=2)[0].version == 2
    with pytest.raises(RegistryError) as caught:
        chain.newest(not_below=3)
    assert caught.value.rule == "R-50"
