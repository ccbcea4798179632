"""What a root is told before it signs: every field that differs, and nothing that does not."""

from dataclasses import fields, replace
from datetime import timedelta

import pytest

from hyperfed.registry.annulments import Annulment
from hyperfed.registry.differences import differences
from hyperfed.registry.floors import Floors
from hyperfed.registry.registry import Budget, KeyRecord, Registry
from hyperfed.registry.secure_sums import HelperRecord, SecureSums
from hyperfed.testing.federation import SmallFederation, key_of

BEFORE = SmallFederation(clients=4, auditors=1).registry
FIRST = BEFORE.clients[0]
CHANGED = {
    "federation": "other-fed",
    "genesis": BEFORE.genesis + timedelta(days=1),
    "window_s": 60,
    "roots": (key_of("new root").public,),
    "coordinators": (KeyRecord(keys=key_of("new").public),),
    "auditors": (),
    "clients": (replace(FIRST, organisation="another"), *BEFORE.clients[1:]),
    "budget": Budget(minimum_support=2),
    "floors": Floors(),
    "close_windows": 3,
    "expires": BEFORE.genesis + timedelta(days=9),
    "annulled": (Annulment(sequence=3, digest=b"\3" * 32),),
    "least_sequences": (("site-01", 7),),
    "secure_sums": SecureSums(
        helpers=tuple(HelperRecord(client_id=f"site-0{n}") for n in (1, 2, 3, 4))
    ),
}


def test_the_same_registry_differs_in_nothing() -> None:
    after = replace(BEFORE, version=2, previous=bytes(32), issued=BEFORE.genesis)
    assert differences(BEFORE, after) == []


@pytest.mark.parametrize(
    "name", [f.name for f in fields(Registry) if f.name not in ("version", "previous", "issued")]
)
def test_a_change_of_any_field_is_told(name: str) -> None:
    if name == "threshold":
        roots = (*BEFORE.roots, key_of("second").public)
        said = differences(replace(BEFORE, roots=roots), replace(BEFORE, roots=roots, threshold=2))
    else:
        said = differences(BEFORE, replace(BEFORE, **{name: CHANGED[name]}))
    assert said, f"{name} changes, and the root is not told"


def test_each_client_and_key_is_told_by_itself() -> None:
    key = key_of("second key")
    closed = replace(FIRST.keys[0], valid_until=4)
    rotated = replace(FIRST, keys=(closed, KeyRecord(keys=key.public, valid_from=4)))
    said = differences(BEFORE, replace(BEFORE, clients=(rotated, *BEFORE.clients[2:])))
    assert said == [
        f"client site-01, rounds of key {FIRST.keys[0].keys.key_id}: 1 on -> 1 to 4",
        f"client site-01: key {key.key_id} is new, in rounds 4 on",
        "client site-02: is gone",
        f"client site-02: key {BEFORE.clients[1].keys[0].keys.key_id} is gone; "
        "it was for rounds 1 on",
    ]


def test_a_client_that_is_new_is_told_with_its_organisation_basket_and_key() -> None:
    added = replace(
        FIRST, client_id="site-00", basket="north", keys=(KeyRecord(keys=key_of("new").public),)
    )
    assert differences(BEFORE, replace(BEFORE, clients=(added, *BEFORE.clients))) == [
        "client site-00: is new, of 'site-01 ltd', in basket 'north'",
        f"client site-00: key {key_of('new').key_id} is new, in rounds 1 on",
    ]


def test_floors_that_are_lowered_are_told() -> None:
    high, low = replace(BEFORE, floors=Floors(privacy="local")), replace(BEFORE, floors=None)
    assert "floors, privacy: local -> none" in differences(high, low)


def test_annulments_and_sequences_are_told_one_by_one_without_their_bytes() -> None:
    first = Annulment(sequence=3, digest=b"\3" * 32)
    other = Annulment(sequence=4, digest=b"\4" * 32, entry=b"an envelope")
    before = replace(BEFORE, annulled=(first,), least_sequences=(("site-01", 7),))
    after = replace(
        BEFORE, annulled=(first, other), least_sequences=(("site-01", 9), ("site-02", 1))
    )
    assert differences(before, after) == [
        "entry 4, 0404040404040404: decides nothing any more, of an abandoned branch: its charge "
        "carries over",
        "least sequence of site-01: 7 -> 9",
        "least sequence of site-02: none -> 1",
    ]
