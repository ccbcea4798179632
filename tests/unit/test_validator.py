"""`PacketValidator`: every rule it names is tripped by a packet that breaks this rule and no other, and says so with object, rule and remedy."""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

import hyperfed.validator
from hyperfed.codec import PayloadCodec, from_record, pack, unpack
from hyperfed.config import Limits
from hyperfed.errors import BoundsError, ObjectTooLarge, PacketError, RefusedError, TransientError
from hyperfed.packets import CausalSemanticPack, Claims, EdgeDelta, PathPack, PolicyPack, Update
from hyperfed.rounds import Keys
from hyperfed.signing import Header, PacketType, assemble, open_envelope, sign_envelope
from hyperfed.tables import DeltaTable, EdgeTable
from hyperfed.testing.federation import SmallFederation, key_of
from hyperfed.validator import Arrival, PacketValidator, RoundContext, policy_digest

WHO = "site-01"
KEY = Keys.inbox(5, WHO, 0)
PAIRS = [(i, j) for i in range(3) for j in range(3) if i != j]
LIMITS = Limits(max_update_bytes=50_000)


@pytest.fixture(scope="module")
def fed() -> SmallFederation:
    """Round 5 is open, none has been counted."""
    federation = SmallFederation(limits=LIMITS)
    federation.open(5, n_proposals=5, g_min=0.05, max_lag=3, max_staleness=2)
    return federation


def context(fed: SmallFederation, **changes: Any) -> RoundContext:
    return replace(RoundContext(registry=fed.registry, plan=fed.plan(5), now=fed.night(5), keys=fed.coordinator, limits=LIMITS), **changes)


def edges(fed: SmallFederation, **columns: Any) -> Update:
    update = fed.update(WHO)
    assert update.edges is not None
    return replace(update, edges=replace(update.edges, **columns))


def deltas(base: bytes = b"b" * 32) -> Update:
    one = np.ones(1)
    table = DeltaTable(
        source=np.zeros(1, np.uint32),
        target=np.ones(1, np.uint32),
        lag=np.ones(1, np.uint16),
        weight_delta=one,
        ci_low_delta=one,
        ci_high_delta=one,
        hits_delta=np.ones(1, np.int32),
    )
    return Update(measured=np.arange(4, dtype=np.uint32), deltas=table, base=base)


def rebuilt(data: bytes, *, type_: str | None = None, body: bytes | None = None, signature: bytes | None = None) -> bytes:
    e = open_envelope(data)
    signatures = [(k, signature or s) for k, s in e.signatures]
    return assemble(type_ or e.type, bytes(e.header_bytes), signatures, e.body if body is None else body)


def send(fed: SmallFederation, **changes: Any) -> bytes:
    return fed.envelope(WHO, round_id=5, **changes)


# rule -> what breaks it: (federation) -> (bytes, key), or (bytes, key, changes of the context)
BREAKS: dict[str, list[Callable[[SmallFederation], tuple[Any, ...]]]] = {
    "R-80": [lambda f: (bytes(LIMITS.max_update_bytes + 1), KEY)],
    "R-81": [
        lambda f: (send(f, keys=key_of("stranger")), KEY),
        lambda f: (send(f), KEY, {"registry": f.registry.revoke(WHO, from_round=5, previous=b"x" * 32, issued=f.registry.issued)}),
        lambda f: (send(f, round=4), Keys.inbox(4, WHO, 0), {"registry": f.registry.revoke(WHO, from_round=5, previous=b"x" * 32, issued=f.registry.issued)}),
    ],
    "R-30": [
        lambda f: (send(f, type_=PacketType.MESSAGE), KEY),
        lambda f: (pack(unpack(send(f))[:4]), KEY),
        lambda f: (pack([*unpack(send(f))[:3], [], b""]), KEY),
    ],
    "R-31": [lambda f: (rebuilt(send(f, type_=PacketType.MESSAGE), type_=PacketType.UPDATE), KEY), lambda f: (rebuilt(send(f), signature=b"s" * 64), KEY)],
    "R-33": [lambda f: (rebuilt(send(f), body=b"another body"), KEY)],
    "R-82": [
        lambda f: (send(f), Keys.inbox(5, "site-02", 0)),
        lambda f: (send(f, sender="site-02"), Keys.inbox(5, "site-02", 0)),
        lambda f: (send(f), KEY + "/x"),
    ],
    "R-83": [lambda f: (send(f, federation="other"), KEY), lambda f: (send(f, audience="clients"), KEY)],
    "R-84": [
        lambda f: (send(f, round=4), KEY),
        lambda f: (send(f, round=2), Keys.inbox(2, WHO, 0)),
        lambda f: (send(f, round=6), Keys.inbox(6, WHO, 0)),
    ],
    "R-85": [
        lambda f: (send(f, created=f.night(5) + timedelta(seconds=601)), KEY),
        lambda f: (send(f, expires=f.night(5) - timedelta(seconds=600)), KEY),
        lambda f: (send(f, expires=f.opens(5)), KEY),
    ],
    "R-86": [lambda f: (send(f, vocabulary=b"v" * 32), KEY), lambda f: (send(f, vocabulary=b""), KEY)],
    "R-87": [lambda f: (send(f, policy=b"p" * 32), KEY), lambda f: (send(f, policy=b""), KEY)],
    "R-88": [lambda f: (send(f, sealed=False), KEY)],
    "R-89": [
        lambda f: (send(f, nonce=b""), KEY),
        lambda f: (send(f, nonce=b"n" * 15), KEY),
        lambda f: (send(f, nonce=b"n" * 17), KEY),
        lambda f: (send(f, sequence=7), KEY, {"highest": {WHO: 7}}),
    ],
    "R-11": [
        lambda f: (send(f, body=pack([1, "Update", "", 1, b"\x80"])), KEY),
        lambda f: (send(f, body=pack([1, "Update", "", 1, b"\xc0"])), KEY),
    ],
    "R-12": [lambda f: (send(f, body=PayloadCodec().encode(PathPack(0, 1, 0, 1, 1, 1))), KEY)],
    "R-10": [lambda f: (send(f)[:-1], KEY), lambda f: (b"", KEY)],
    "R-13": [lambda f: (send(f, body=pack([1, "Update", "zstd", 1, b"\x80"])), KEY)],
    "R-40": [lambda f: (send(f, encryption="rot13", sealed=False), KEY), lambda f: (send(f), KEY, {"keys": key_of("stranger")})],
    "R-41": [lambda f: (rebuilt_header(f), KEY)],
    "R-90": [
        lambda f: (send(f, update=Update(measured=np.arange(5), edges=EdgeTable.empty())), KEY),
        lambda f: (send(f, update=edges(f, lag=np.full(3, 4, np.uint16))), KEY),
        lambda f: (send(f, update=replace(f.update(WHO), semantic=CausalSemanticPack(confounders=[4]))), KEY),
    ],
    "R-91": [
        lambda f: (send(f, update=edges(f, effect=np.array([0.5, 0.049, 0.5]), ci_low=np.zeros(3), ci_high=np.ones(3))), KEY),
        lambda f: (send(f, update=edges(f, stability=np.array([0.8, 0.8, 0.09]))), KEY),
        lambda f: (send(f, update=many(f)), KEY),
        lambda f: (
            send(f, update=replace(f.update(WHO), semantic=CausalSemanticPack(dag_edges=[(i, j, 1.0) for i, j in PAIRS]))),
            KEY,
        ),
        lambda f: (send(f, update=replace(f.update(WHO), semantic=CausalSemanticPack(interventions=[{}] * 257))), KEY),
        lambda f: (send(f, update=replace(f.update(WHO), semantic=CausalSemanticPack(interventions=[{f"{i}": "x" * 2000 for i in range(33)}]))), KEY),
    ],
    "R-97": [lambda f: (send(f, update=deltas()), KEY), lambda f: (send(f, update=deltas()), KEY, {"base_of": lambda client, digest: None})],
}


def many(fed: SmallFederation) -> Update:
    table = EdgeTable.build(source=[i for i, _ in PAIRS], target=[j for _, j in PAIRS], lag=1, effect=0.5, confidence=0.5, stability=0.5)
    return Update(measured=np.arange(4), edges=table)


def rebuilt_header(fed: SmallFederation) -> bytes:
    """A body sealed under one header and signed under another."""
    envelope = open_envelope(send(fed))
    header = from_record(Header, unpack(envelope.header_bytes))
    return sign_envelope(PacketType.UPDATE, replace(header, nonce=b"m" * 16), envelope.body, [fed.keys[WHO]])


CASES = [(rule, i) for rule, makes in BREAKS.items() for i in range(len(makes))]


@pytest.mark.parametrize(("rule", "which"), CASES, ids=[f"{r}-{i}" for r, i in CASES])
def test_a_packet_trips_exactly_the_rule_it_breaks(fed: SmallFederation, rule: str, which: int) -> None:
    """By `verify`, and by `admit`, whose refusal carries object, rule, reason and remedy; nothing is admitted."""
    data, key, changes = (*BREAKS[rule][which](fed), {})[:3]
    validator = PacketValidator(context=context(fed, **changes))
    with pytest.raises(PacketError) as caught:
        validator.verify(data, key=key)
    assert caught.value.rule == rule
    admission = PacketValidator(context=context(fed, **changes)).admit([Arrival(key=key, size=len(data), data=data)])
    assert admission.admitted == ()
    (refused,) = admission.refused
    assert (refused.key, refused.rule) == (key, rule)
    assert refused.reason
    assert refused.remedy
    assert refused.reason.isprintable()


def test_every_rule_of_the_docstring_is_tripped_here_or_below() -> None:
    named = set(re.findall(r"R-\d+", hyperfed.validator.__doc__ or ""))
    assert named - {"R-92", "R-93"} <= BREAKS.keys()
    assert {"R-92", "R-93"} <= named


def test_the_honest_packet_trips_none(fed: SmallFederation) -> None:
    admitted = PacketValidator(context=context(fed)).verify(send(fed, sequence=8), key=KEY)
    assert (admitted.client, admitted.made_for, admitted.sequence, admitted.update) == (WHO, 5, 8, fed.update(WHO))


@pytest.mark.parametrize(
    "make",
    [
        lambda f: send(f, sequence=8, created=f.night(5) + timedelta(seconds=600)),
        lambda f: send(f, sequence=8, expires=f.night(5) - timedelta(seconds=599)),
        lambda f: send(f, sequence=8),
        lambda f: send(f, sequence=8, update=edges(f, lag=np.full(3, 3, np.uint16))),
        lambda f: send(f, sequence=8, update=edges(f, stability=np.full(3, 0.1))),
        lambda f: send(f, sequence=8, update=edges(f, effect=np.full(3, 0.05), ci_low=np.zeros(3), ci_high=np.ones(3))),
        lambda f: send(f, sequence=8, update=Update(measured=[0, 1, 2, 3], edges=EdgeTable.empty())),
    ],
    ids=["600 s early", "expired 599 s ago", "next sequence", "longest lag", "least stability", "least effect", "no edges"],
)
def test_what_just_fits_is_admitted(fed: SmallFederation, make: Callable[[SmallFederation], bytes]) -> None:
    PacketValidator(context=context(fed, highest={WHO: 7})).verify(make(fed), key=KEY)


def test_a_late_update_within_the_policys_staleness_is_admitted(fed: SmallFederation) -> None:
    """Made for round 3 under round 3's policy, read in round 5."""
    theirs = policy_digest(PolicyPack(g_min=0.5))
    data, key = send(fed, round=3, policy=theirs), Keys.inbox(3, WHO, 0)
    admitted = PacketValidator(context=context(fed, policies={3: theirs})).verify(data, key=key)
    assert admitted.made_for == 3
    with pytest.raises(RefusedError) as caught:
        PacketValidator(context=context(fed)).verify(data, key=key)
    assert caught.value.rule == "R-87"


def test_the_reason_names_both_vocabularies(fed: SmallFederation) -> None:
    with pytest.raises(RefusedError) as caught:
        PacketValidator(context=context(fed)).verify(send(fed, vocabulary=b"v" * 32), key=KEY)
    assert (b"v" * 32).hex()[:16] in caught.value.problem
    assert fed.vocabulary.digest.hex()[:16] in caught.value.problem


def test_admission_needs_a_context(fed: SmallFederation) -> None:
    with pytest.raises(RefusedError, match="context"):
        PacketValidator(fed.registry).verify(send(fed), key=KEY)


def test_changes_apply_to_the_base_that_they_name(fed: SmallFederation) -> None:
    asked: list[tuple[str, bytes]] = []

    def base_of(client: str, digest: bytes) -> Update:
        asked.append((client, digest))
        return fed.update(WHO)

    admitted = PacketValidator(context=context(fed, base_of=base_of)).verify(send(fed, update=deltas()), key=KEY)
    assert asked == [(WHO, b"b" * 32)]
    assert admitted.update is not None
    assert admitted.update.edges is not None
    assert admitted.update.edges.effect[0] == fed.update(WHO).edges.effect[0] + 1  # type: ignore[union-attr]


def test_changes_that_overflow_are_refused_without_a_warning(fed: SmallFederation) -> None:
    huge = np.full(3, 1.7e308)
    base = edges(fed, effect=huge, ci_low=huge, ci_high=huge)
    update = deltas()
    update = replace(update, deltas=replace(update.deltas, weight_delta=np.array([1.7e308])))  # type: ignore[type-var]
    with pytest.raises(BoundsError, match="finite"):
        PacketValidator(context=context(fed, base_of=lambda *_: base)).verify(send(fed, update=update), key=KEY)


# -- batches ------------------------------------------------------------------------------------------------------------------------


def arrive(fed: SmallFederation, *sent: tuple[int, dict[str, Any]]) -> list[Arrival]:
    datas = [(slot, send(fed, **changes)) for slot, changes in sent]
    return [Arrival(key=Keys.inbox(5, WHO, slot), size=len(data), data=data) for slot, data in datas]


def test_the_highest_sequence_is_admitted_and_the_rest_superseded(fed: SmallFederation) -> None:
    arrivals = arrive(fed, (0, {"sequence": 4}), (1, {"sequence": 6}), (2, {"sequence": 5}))
    for order in (arrivals, arrivals[::-1]):
        admission = PacketValidator(context=context(fed)).admit(order)
        assert [a.sequence for a in admission.admitted] == [6]
        assert [(r.rule, r.sequence) for r in admission.refused] == [("R-93", 4), ("R-93", 5)]
        assert all(len(r.digest) == 32 for r in admission.refused)


def test_equivocation_refuses_both_and_leaves_a_third(fed: SmallFederation) -> None:
    arrivals = arrive(fed, (0, {"sequence": 9}), (1, {"sequence": 9}), (2, {"sequence": 8}))
    admission = PacketValidator(context=context(fed)).admit(arrivals)
    assert [a.sequence for a in admission.admitted] == [8]
    assert [r.rule for r in admission.refused] == ["R-92", "R-92"]
    assert len({r.digest for r in admission.refused}) == 2


def test_an_object_too_large_is_refused_by_what_the_store_says(fed: SmallFederation) -> None:
    too_large = ObjectTooLarge("holds too much", subject=KEY)
    admission = PacketValidator(context=context(fed)).admit([Arrival(key=KEY, size=10, error=too_large), Arrival(key=Keys.inbox(5, WHO, 1), size=10)])
    assert [r.reason for r in admission.refused] == ["holds too much", "was not read"]
    listed = Arrival(key=KEY, size=LIMITS.max_update_bytes + 1)
    (refused,) = PacketValidator(context=context(fed)).admit([listed]).refused
    assert refused.reason.startswith("50001 bytes"), "judged by its listing, before anything is read"


def test_a_fault_of_the_store_is_no_fault_of_the_client(fed: SmallFederation) -> None:
    """The base of an update's changes cannot be read just now: the batch fails and is tried again; the client is not refused."""

    def base_of(client: str, digest: bytes) -> Update | None:
        raise TransientError("no answer came", subject="rounds/x")

    (arrival,) = arrive(fed, (0, {"update": deltas()}))
    with pytest.raises(TransientError):
        PacketValidator(context=context(fed, base_of=base_of)).admit([arrival])


def test_strays_are_recorded_but_cannot_fill_a_freeze(fed: SmallFederation) -> None:
    arrivals = [Arrival(key=f"inbox/00000005/{WHO}/junk-{i:04d}\n\x1b", size=1, data=b"x") for i in range(1000)]
    refused = PacketValidator(context=context(fed)).admit(arrivals).refused
    assert len(refused) == 64
    assert "936 more" in refused[-1].reason
    assert all(r.key.isprintable() and len(r.key) <= 200 for r in refused)


def test_a_reason_stays_short_and_printable(fed: SmallFederation) -> None:
    """What the sender wrote is quoted and cut: it reaches receipts, terminals and pages."""
    record = {"\x1b[31m" + "x" * 5000: 1}
    (arrival,) = arrive(fed, (0, {"body": pack([1, "Update", "", len(pack(record)), pack(record)])}))
    (refused,) = PacketValidator(context=context(fed)).admit([arrival]).refused
    assert len(refused.reason) <= 500
    assert refused.reason.isprintable()

    def base_of(client: str, digest: bytes) -> Update | None:
        raise BoundsError("long " * 1000, subject="x")

    (arrival,) = arrive(fed, (0, {"update": deltas()}))
    (refused,) = PacketValidator(context=context(fed, base_of=base_of)).admit([arrival]).refused
    assert len(refused.reason) == 500


# -- one packet ---------------------------------------------------------------------------------------------------------------------


PACKETS = [
    PathPack(0, 1, 0, 0.5, 0.5, 0.5),
    EdgeDelta(0, 1, 0.5, (0, 0), 1),
    PolicyPack(),
    CausalSemanticPack([(0, 1, 1.0)]),
    Claims(loss=1.0),
    Update(measured=[0, 1], edges=EdgeTable.empty()),
    EdgeTable.empty(),
]


@pytest.mark.parametrize("packet", PACKETS, ids=lambda p: type(p).__name__)
def test_a_good_packet_is_valid_as_object_bytes_and_batch(packet: Any) -> None:
    validator = PacketValidator()
    assert validator.validate(packet) == (True, None)
    assert validator.validate([packet, packet]) == (True, None)
    for data in (PayloadCodec().encode(packet), PayloadCodec(compression="zstd").encode(packet), PayloadCodec().encode([packet])):
        assert validator.validate(data) == validator.validate(bytearray(data)) == validator.validate(memoryview(data)) == (True, None)


def test_an_empty_batch_is_valid() -> None:
    assert PacketValidator().validate([]) == PacketValidator().validate(PayloadCodec().encode([])) == (True, None)


def smuggled(kind: type, **fields: Any) -> Any:
    """A frozen packet built around its own checks."""
    packet = object.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(packet, name, value)
    return packet


BAD: dict[str, Any] = {
    "confidence above 1": smuggled(PathPack, source_idx=0, target_idx=1, lag=0, effect=0.5, confidence=1.5, stability=0.5),
    "nan": smuggled(PathPack, source_idx=0, target_idx=1, lag=0, effect=float("nan"), confidence=0.5, stability=0.5),
    "a bool": smuggled(PathPack, source_idx=True, target_idx=0, lag=1, effect=0.5, confidence=0.5, stability=0.5),
    "a text": smuggled(PathPack, source_idx="0", target_idx=1, lag=0, effect=0.5, confidence=0.5, stability=0.5),
    "fields missing": smuggled(PathPack, source_idx=0),
    "a policy that promises what it cannot": smuggled(
        PolicyPack, **({f.name: getattr(PolicyPack(), f.name) for f in dataclasses.fields(PolicyPack)} | {"privacy": "central", "strategy": "consensus"})
    ),
    "no table": smuggled(EdgeTable, source=None),
    "nothing": None,
    "a dict": {"source_idx": 0},
    "a number": 5,
    "a batch with a stranger": [PathPack(0, 1, 0, 0.5, 0.5, 0.5), 5],
    "a mixed batch": [PathPack(0, 1, 0, 0.5, 0.5, 0.5), Claims()],
    "no bytes": b"",
    "garbage": b"\xc1\xc1\xc1",
    "a newer document": pack([2, "PathPack"]),
    "a foreign kind": pack([1, "Plan", "", 1, b"\x80"]),
    "an unnamed kind": pack([1, "", "", 1, b"\x90"]),
    "a bad field": pack([1, "PathPack", "", 1, b"\x80"]),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_packet_is_not_valid_and_the_error_says_why(name: str) -> None:
    valid, error = PacketValidator().validate(BAD[name])
    assert not valid
    assert error
    assert re.search(r"\[R-\d+\]\. .+", error), f"rule and remedy belong to it: {error}"


def test_larger_than_the_limit_is_not_even_parsed() -> None:
    valid, error = PacketValidator(limits=Limits(max_update_bytes=10)).validate(bytes(11))
    assert not valid
    assert "R-80" in str(error)


@pytest.fixture
def signed(fed: SmallFederation) -> bytes:
    return send(fed, sealed=False)


def test_a_signed_packet_cannot_be_judged_without_a_registry(signed: bytes) -> None:
    valid, error = PacketValidator().validate(signed)
    assert not valid
    assert "without a registry" in str(error)
    assert "R-32" in str(error)


def test_a_signed_packet_is_valid_once(fed: SmallFederation, signed: bytes) -> None:
    validator = PacketValidator(fed.registry)
    assert validator.validate(signed) == (True, None)
    valid, error = validator.validate(signed)
    assert not valid
    assert "nonce was seen" in str(error)
    assert "R-89" in str(error)
    assert PacketValidator(fed.registry).validate(signed) == (True, None), "another validator has not seen it"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"federation": "other"}, "R-83"),
        ({"audience": "clients"}, "R-83"),
        ({"sender": "site-02"}, "R-82"),
        ({"keys": key_of("stranger")}, "R-81"),
        ({"nonce": b""}, "R-89"),
        ({"body": b"junk"}, "R-12"),
        ({"type_": PacketType.PLAN}, "R-30"),
    ],
)
def test_a_signed_packet_is_judged_as_far_as_the_registry_goes(fed: SmallFederation, changes: dict[str, Any], rule: str) -> None:
    valid, error = PacketValidator(fed.registry).validate(send(fed, sealed=False, **changes))
    assert not valid
    assert f"[{rule}]" in str(error)


def test_a_revoked_key_is_judged_by_the_round_the_packet_names(fed: SmallFederation, signed: bytes) -> None:
    registry = fed.registry.revoke(WHO, from_round=5, previous=b"x" * 32, issued=fed.registry.issued)
    valid, error = PacketValidator(registry).validate(signed)
    assert not valid
    assert "R-81" in str(error)


# not: the folder's own rules, changes (their base is the folder's), and what is not even the beginning of an envelope
WITHOUT_FOLDER = [c for c in CASES if c[0] not in ("R-82", "R-97") and c not in (("R-84", 0), ("R-10", 1))]


@pytest.mark.parametrize(("rule", "which"), WITHOUT_FOLDER, ids=lambda v: str(v))
def test_with_a_context_all_rules_but_the_folders_are_checked(fed: SmallFederation, rule: str, which: int) -> None:
    data, _, changes = (*BREAKS[rule][which](fed), {})[:3]
    valid, error = PacketValidator(context=context(fed, **changes)).validate(data)
    assert not valid
    assert f"[{rule}]" in str(error)


def test_with_a_context_a_sealed_body_is_looked_into(fed: SmallFederation) -> None:
    good, bad = send(fed), send(fed, body=b"junk")
    validator = PacketValidator(context=context(fed))
    assert validator.validate(good) == (True, None)
    assert not validator.validate(bad)[0]
    blind = PacketValidator(context=context(fed, keys=None))
    assert blind.validate(bad)[0], "without a key only the outside can be judged"


def test_an_update_object_is_held_to_the_contexts_policy(fed: SmallFederation) -> None:
    validator = PacketValidator(context=context(fed))
    assert validator.validate(fed.update(WHO)) == (True, None)
    valid, error = validator.validate(many(fed))
    assert not valid
    assert "R-91" in str(error)
