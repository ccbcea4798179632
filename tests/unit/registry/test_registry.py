"""The registry: a chain of versions, each signed by enough of the right roots."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hyperfed.codec import PayloadCodec, pack, unpack
from hyperfed.crypto.envelope import PacketType, open_envelope, sign_envelope
from hyperfed.crypto.sealing import bind_body
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.dropbox.registries import RegistryChain, load_registry, publish_registry
from hyperfed.errors import (
    ConfigError,
    HyperfedError,
    ObjectNotFound,
    PacketError,
    RegistryError,
    SignatureError,
)
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import (
    ClientRecord,
    KeyRecord,
    Registry,
    merge_signatures,
    read_registry,
    registry_header,
    root_fingerprint,
    sign_registry,
)
from hyperfed.storage.memory import MemoryStore
from hyperfed.testing.federation import GENESIS, SmallFederation, key_of

ROOTS = [key_of(f"root {i}") for i in range(3)]
NEW_ROOTS = [key_of(f"new root {i}") for i in range(3)]


def record(name: str, **validity: int) -> ClientRecord:
    return ClientRecord(
        client_id=name, organisation=name, keys=(KeyRecord(keys=key_of(name).public, **validity),)
    )


def first(**changes: Any) -> Registry:
    fields: dict[str, Any] = {
        "federation": "fed",
        "version": 1,
        "previous": b"",
        "issued": GENESIS,
        "genesis": GENESIS,
        "window_s": 3600,
        "roots": tuple(r.public for r in ROOTS),
        "threshold": 2,
        "coordinators": (KeyRecord(keys=key_of("coordinator").public),),
        "clients": (record("alice"), record("carol")),
    }
    return Registry(**(fields | changes))


FIRST = sign_registry(first(), ROOTS[:2])
FINGERPRINT = root_fingerprint(first().roots, 2)


def known() -> tuple[Registry, bytes]:
    return read_registry(FIRST, before=None, fingerprint=FINGERPRINT)


def second(**changes: Any) -> Registry:
    return replace(first(), **{"version": 2, "previous": known()[1], **changes})


def follows(registry: Registry, *signers: Any) -> tuple[Registry, bytes]:
    return read_registry(sign_registry(registry, signers), before=known(), fingerprint=None)


# -- the first version -----------------------------------------------------------------------------


def test_the_first_version_is_vouched_for_by_its_fingerprint() -> None:
    registry, digest = known()
    assert registry == first()
    assert len(digest) == 32


@pytest.mark.parametrize(
    "other",
    [
        root_fingerprint(first().roots, 1),
        root_fingerprint(first().roots[:2], 2),
        root_fingerprint([r.public for r in NEW_ROOTS], 2),
        FINGERPRINT.upper(),
        "",
    ],
    ids=["threshold", "fewer", "others", "upper case", "empty"],
)
def test_another_fingerprint_is_refused(other: str) -> None:
    with pytest.raises(RegistryError) as caught:
        read_registry(FIRST, before=None, fingerprint=other)
    assert caught.value.rule == "R-24"
    assert "another channel" in caught.value.remedy


def test_the_fingerprint_does_not_depend_on_the_order_of_roots() -> None:
    assert root_fingerprint([r.public for r in ROOTS[::-1]], 2) == FINGERPRINT


def test_a_threshold_of_signatures_is_needed() -> None:
    for signers in ([ROOTS[0]], [ROOTS[0], NEW_ROOTS[0]], NEW_ROOTS):
        with pytest.raises(SignatureError) as caught:
            read_registry(sign_registry(first(), signers), before=None, fingerprint=FINGERPRINT)
        assert caught.value.rule == "R-32"
    assert (
        read_registry(sign_registry(first(), ROOTS), before=None, fingerprint=FINGERPRINT)[0]
        == first()
    )


def test_the_digest_does_not_depend_on_who_signed() -> None:
    digests = {
        read_registry(sign_registry(first(), s), before=None, fingerprint=FINGERPRINT)[1]
        for s in (ROOTS[:2], ROOTS[1:], ROOTS)
    }
    assert len(digests) == 1


def test_a_later_version_alone_is_refused() -> None:
    with pytest.raises(RegistryError) as caught:
        read_registry(sign_registry(second(), ROOTS), before=None, fingerprint=FINGERPRINT)
    assert caught.value.rule == "R-23"


def test_another_signed_header_is_refused() -> None:
    """Header and body say the same: what is shown by the one is what counts in the other."""
    body = PayloadCodec().encode(first())
    header = bind_body(replace(registry_header(first()), sequence=7), body)
    data = sign_envelope(PacketType.REGISTRY, header, body, ROOTS)
    with pytest.raises(RegistryError, match="header") as caught:
        read_registry(data, before=None, fingerprint=FINGERPRINT)
    assert caught.value.rule == "R-23"


# -- the chain -------------------------------------------------------------------------------------


def test_the_next_version_follows() -> None:
    registry = second(clients=(record("alice"), record("bob"), record("carol")))
    assert follows(registry, *ROOTS[1:])[0] == registry


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 3},
        {"previous": b"x" * 32},
        {"federation": "other"},
        {"genesis": GENESIS + timedelta(days=1)},
        {"window_s": 7200},
    ],
    ids=lambda c: next(iter(c)),
)
def test_what_does_not_follow_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RegistryError) as caught:
        follows(second(**changes), *ROOTS)
    assert caught.value.rule == "R-23"


@pytest.mark.parametrize(
    ("signers", "holds"),
    [
        (NEW_ROOTS[:2], False),
        ([*NEW_ROOTS, ROOTS[0]], False),
        ([*ROOTS, NEW_ROOTS[0]], False),
        (ROOTS, False),
        ([*ROOTS[:2], *NEW_ROOTS[:2]], True),
    ],
    ids=["new only", "one old", "one new", "old only", "both"],
)
def test_new_roots_need_the_thresholds_of_old_and_new(signers: list[Any], holds: bool) -> None:
    registry = second(roots=tuple(r.public for r in NEW_ROOTS))
    if holds:
        assert follows(registry, *signers)[0] == registry
    else:
        with pytest.raises(SignatureError):
            follows(registry, *signers)


def test_a_lower_threshold_needs_the_old_one_once_more() -> None:
    with pytest.raises(SignatureError):
        follows(second(threshold=1), ROOTS[0])
    assert follows(second(threshold=1), *ROOTS[:2])[0].threshold == 1
    with pytest.raises(SignatureError):
        follows(second(threshold=3), *ROOTS[:2])


def test_an_unsigned_successor_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of a million hostile keys costs its reader nothing: the old roots come first."""
    data, before = sign_registry(second(), NEW_ROOTS), known()

    def never(*_: object) -> None:
        raise AssertionError("parsed before it was verified")

    monkeypatch.setattr(PayloadCodec, "decode", never)
    with pytest.raises(SignatureError):
        read_registry(data, before=before, fingerprint=None)


# -- the drop-box ----------------------------------------------------------------------------------


def drop_box(*versions: bytes) -> MemoryStore:
    store = MemoryStore()
    for number, data in enumerate(versions, 1):
        store.put_if_absent(Keys.registry(number), data)
    return store


SECOND = sign_registry(second(clients=(record("alice"),)), ROOTS)


def test_the_newest_version_is_loaded_with_its_chain_verified() -> None:
    store = drop_box(FIRST, SECOND)
    newest = load_registry(store, fingerprint=FINGERPRINT)
    assert [c.client_id for c in newest[0].clients] == ["alice"]
    older = RegistryChain(fingerprint=FINGERPRINT)
    older.read_new(store, until=1)
    assert older.versions == [known()]
    assert older.read_new(store) == [SECOND]
    assert older.newest() == newest
    with pytest.raises(ObjectNotFound, match="no such object"):
        older.read_new(store, until=3)


def test_a_rollback_is_noticed() -> None:
    """The drop-box shows version 1 to somebody who has seen 2."""
    chain = RegistryChain(fingerprint=FINGERPRINT)
    store = drop_box(FIRST)
    chain.read_new(store)
    with pytest.raises(RegistryError) as caught:
        chain.newest(not_below=2)
    assert caught.value.rule == "R-50"
    reader = DropBoxReader(store, fingerprint=FINGERPRINT, not_below=2)
    for _ in range(2):
        with pytest.raises(RegistryError, match="rolled back"):
            _ = reader.registry
    store.put_if_absent(Keys.registry(2), SECOND)
    assert reader.refresh_registry().version == 2


def test_of_versions_that_came_together_none_is_taken_where_one_is_refused() -> None:
    chain = RegistryChain(fingerprint=FINGERPRINT)
    store = drop_box(FIRST)
    chain.read_new(store)
    before = [*chain.versions]
    store.put_if_absent(Keys.registry(2), SECOND)
    store.put_if_absent(Keys.registry(3), b"x")
    with pytest.raises(HyperfedError):
        chain.read_new(store)
    assert chain.versions == before


@pytest.mark.parametrize(
    "versions",
    [(SECOND,), (FIRST, FIRST), (FIRST, SECOND, SECOND), (FIRST[:-1],), (b"",), (FIRST, b"x")],
)
def test_a_broken_chain_is_refused(versions: tuple[bytes, ...]) -> None:
    with pytest.raises(HyperfedError) as caught:
        load_registry(drop_box(*versions), fingerprint=FINGERPRINT)
    assert isinstance(caught.value, RegistryError | PacketError)
    assert "registry" in caught.value.subject


def test_an_empty_drop_box_has_no_registry() -> None:
    with pytest.raises(RegistryError, match="no registry"):
        load_registry(MemoryStore(), fingerprint=None)


def test_publishing_is_create_only_and_verified() -> None:
    store = MemoryStore()
    assert publish_registry(store, FIRST) == "registry/000001"
    with pytest.raises(RegistryError):
        publish_registry(store, FIRST)
    assert publish_registry(store, SECOND) == "registry/000002"
    before = {i.key for i in store.list("")}
    for bad in (
        sign_registry(replace(second(), version=3), [ROOTS[0]]),
        sign_registry(second(), ROOTS),
        b"junk",
    ):
        with pytest.raises(HyperfedError):
            publish_registry(store, bad)
    assert {i.key for i in store.list("")} == before


# -- merging signatures ----------------------------------------------------------------------------


def test_signatures_made_in_different_places_are_merged() -> None:
    parts = [sign_registry(first(), [r]) for r in ROOTS]
    merged = merge_signatures(parts)
    assert (
        merged
        == sign_registry(first(), ROOTS)
        == merge_signatures(parts[::-1])
        == merge_signatures([merged, parts[0]])
    )
    assert read_registry(merged, before=None, fingerprint=FINGERPRINT)[0] == first()


def test_nothing_and_different_registries_are_not_merged() -> None:
    with pytest.raises(ConfigError):
        merge_signatures([])
    with pytest.raises(SignatureError, match="different registries"):
        merge_signatures(
            [sign_registry(first(), [ROOTS[0]]), sign_registry(first(window_s=60), [ROOTS[1]])]
        )


def test_a_forged_signature_does_not_displace_a_good_one() -> None:
    """Two signatures of one key that differ: one of them is none, and which one is not for us to
    guess.
    """
    good = sign_registry(first(), [ROOTS[0]])
    parts = unpack(good)
    parts[3][0][1] = bytes(64)
    with pytest.raises(SignatureError, match="two different signatures"):
        merge_signatures([good, pack(parts)])


# -- what a registry may say -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"federation": "../fed"},
        {"federation": "Fed"},
        {"threshold": 0},
        {"threshold": 4},
        {"roots": tuple(key_of(f"r{i}").public for i in range(33))},
        {"coordinators": ()},
        {"clients": (record("carol"), record("alice"))},
        {"clients": (record("alice"), record("alice"))},
        {"previous": b"x" * 32},
        {"window_s": 0},
        {"auditors": (KeyRecord(keys=key_of("alice").public),)},
        {"clients": (record("alice"), replace(record("carol"), keys=record("alice").keys))},
        {"coordinators": (KeyRecord(keys=ROOTS[0].public),)},
    ],
    ids=lambda c: f"{next(iter(c))}",
)
def test_what_a_registry_may_not_say(changes: dict[str, Any]) -> None:
    with pytest.raises(HyperfedError):
        first(**changes)


def test_half_of_anothers_keys_is_not_ones_own() -> None:
    """Somebody's sealing key beside one's own signing key would have its updates' receipts read by
    another.
    """
    mixed = replace(key_of("mallory").public, sealing=key_of("alice").public.sealing)
    with pytest.raises(RegistryError, match="sealing key is registered twice"):
        first(clients=(record("alice"), replace(record("mallory"), keys=(KeyRecord(keys=mixed),))))
    mixed = replace(key_of("mallory").public, signing=key_of("alice").public.signing)
    with pytest.raises(RegistryError, match="signing key is registered twice"):
        first(clients=(record("alice"), replace(record("mallory"), keys=(KeyRecord(keys=mixed),))))


@pytest.mark.parametrize(
    "changes",
    [{"organisation": "x" * 201}, {"organisation": "a\nb"}, {"basket": "\x1b[31m"}, {"keys": ()}],
)
def test_what_a_client_record_may_not_say(changes: dict[str, Any]) -> None:
    with pytest.raises(RegistryError):
        replace(record("alice"), **changes)


@pytest.mark.parametrize(("low", "high"), [(-1, 5), (5, 4), (1, 1 << 53)])
def test_validity_is_a_range_of_rounds(low: int, high: int) -> None:
    with pytest.raises(RegistryError) as caught:
        KeyRecord(keys=key_of("alice").public, valid_from=low, valid_until=high)
    assert caught.value.rule == "R-25"


def test_both_ends_of_a_validity_are_included() -> None:
    key = KeyRecord(keys=key_of("alice").public, valid_from=3, valid_until=5)
    assert [key.valid_in(r) for r in (2, 3, 5, 6)] == [False, True, True, False]


# -- revocation and rotation -----------------------------------------------------------------------


def test_a_revoked_client_does_not_speak_from_its_round_on() -> None:
    registry = first().revoke("alice", from_round=5, previous=b"x" * 32, issued=GENESIS)
    assert [registry.clients_in(r) for r in (4, 5)] == [("alice", "carol"), ("carol",)]
    assert key_of("alice").key_id not in registry.signing_keys(5)
    assert key_of("alice").key_id in registry.signing_keys(4)
    again = registry.revoke("alice", from_round=9, previous=b"x" * 32, issued=GENESIS)
    assert again.clients_in(5) == ("carol",), "a later revocation does not undo an earlier one"


def test_revoking_before_the_first_round_removes_the_client() -> None:
    registry = first().revoke("alice", from_round=1, previous=b"x" * 32, issued=GENESIS)
    assert [c.client_id for c in registry.clients] == ["carol"]


def test_a_revocation_covers_keys_that_would_become_valid_later() -> None:
    keys = (
        KeyRecord(keys=key_of("alice").public, valid_until=9),
        KeyRecord(keys=key_of("alice 2").public, valid_from=9),
    )
    registry = first(clients=(replace(record("alice"), keys=keys),)).revoke(
        "alice", from_round=5, previous=b"x" * 32, issued=GENESIS
    )
    assert registry.clients_in(9) == registry.clients_in(100) == ()


def test_an_unknown_client_is_named() -> None:
    with pytest.raises(RegistryError, match="mallory"):
        first().client("mallory")
    with pytest.raises(RegistryError):
        first().revoke("mallory", from_round=1, previous=b"x" * 32, issued=GENESIS)


def test_a_rotation_overlaps_by_one_round() -> None:
    fed = SmallFederation(clients=("alice", "carol"))
    old, new = fed.keys["alice"], key_of("alice 2")
    fed.rotate("alice", new, from_round=4)
    registry = fed.reader().registry
    valid = {
        r: {k for k, (c, _) in registry.signing_keys(r).items() if c == "alice"} for r in (3, 4, 5)
    }
    assert valid == {3: {old.key_id}, 4: {old.key_id, new.key_id}, 5: {new.key_id}}


def test_who_a_body_is_sealed_to_follows_the_round() -> None:
    registry = first(
        coordinators=(
            KeyRecord(keys=key_of("c1").public, valid_until=4),
            KeyRecord(keys=key_of("c2").public, valid_from=4),
        ),
        auditors=(KeyRecord(keys=key_of("a1").public),),
    )
    assert [len(registry.sealing_keys(r)) for r in (3, 4, 5)] == [2, 3, 2]
    assert registry.coordinator_key(key_of("c1").key_id, 5) is None
    assert (
        registry.coordinator_key(key_of("c1").key_id, 4)
        == registry.coordinator_key(key_of("c1").key_id)
        == key_of("c1").public.signing
    )


def test_every_flipped_byte_of_a_registry_is_noticed() -> None:
    for at in range(0, len(FIRST), 7):
        broken = bytearray(FIRST)
        broken[at] ^= 0x10
        with pytest.raises(HyperfedError):
            read_registry(bytes(broken), before=None, fingerprint=FINGERPRINT)
    assert open_envelope(FIRST).type == PacketType.REGISTRY
