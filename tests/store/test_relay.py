"""A relay: its limits, several objects in one call, and how it takes over and ends."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from hyperfed.errors import (
    AccessDenied,
    ConfigError,
    ObjectNotFound,
    ObjectTooLarge,
    TransientError,
)
from hyperfed.protocol.object_keys import Keys
from hyperfed.relay.limits import RelayLimits
from hyperfed.relay.server import RelayServer, ServerCertificate
from hyperfed.storage.grpc_access import access_of_key
from hyperfed.storage.grpc_messages import SERVICE, pack_key
from hyperfed.storage.grpc_store import GRPCStore
from tests.store.relays import PATIENT, RelayedFederation, certificate_in, objects


def asked_until_refused(store: GRPCStore) -> None:
    for _ in range(500):
        store.head(Keys.registry(1))


# -- limits ------------------------------------------------------------------------------------


def test_a_client_that_asks_too_often_is_told_how_long_to_wait(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed(limits=RelayLimits(calls_per_s=0.2, burst=3))
    ann = here.as_("site-01")
    for _ in range(3):
        ann.head(Keys.registry(1))
    with pytest.raises(TransientError, match=r"more than 0\.2 calls a second.*R-159") as raised:
        ann.head(Keys.registry(1))
    assert 1 <= raised.value.asked_s <= 5
    assert here.as_("site-02").head(Keys.registry(1)) is not None, "each has its own rate"
    coordinator = here.as_(here.fed.coordinator)
    for _ in range(6):
        coordinator.head(Keys.registry(1))


def test_objects_that_are_too_large_are_refused_before_they_are_sent(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed(limits=RelayLimits(max_update_bytes=1_500_000, max_object_bytes=3_000_000))
    ann, coordinator = here.as_("site-01"), here.as_(here.fed.coordinator)
    key = Keys.inbox(1, "site-01", 0)
    with pytest.raises(ObjectTooLarge, match="holds 1500001 bytes; this relay takes 1500000"):
        ann.put_if_absent(key, b"x" * 1_500_001)
    assert ann.head(key) is None
    assert ann.put_if_absent(key, b"x" * 1_500_000)
    assert coordinator.put_if_absent(Keys.ledger(1), b"x" * 3_000_000)
    with pytest.raises(ObjectTooLarge):
        coordinator.put_if_absent(Keys.ledger(2), b"x" * 3_000_001)


def test_a_call_too_many_of_one_party_leaves_room_for_others(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed(limits=RelayLimits(open_calls_per_party=1))
    ann = here.as_("site-01")
    begun, goes_on = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield pack_key(Keys.inbox(1, "site-01", 0), (5).to_bytes(8, "big"))
        begun.set()
        goes_on.wait(10)
        yield b"whole"

    future = ann._calls().put_large.future(slowly(), timeout=20)
    assert begun.wait(5)
    with pytest.raises(TransientError, match="calls of site-01 are open") as raised:
        asked_until_refused(ann)
    assert raised.value.asked_s >= 1
    assert here.as_("site-02").head(Keys.registry(1)) is not None
    goes_on.set()
    assert future.result() == b""
    assert ann.read(Keys.inbox(1, "site-01", 0), max_bytes=9) == b"whole"


def test_an_object_whose_pieces_do_not_come_is_broken_off_and_leaves_nothing(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed(limits=RelayLimits(call_s=0.3))
    ann = here.as_("site-01")
    never = threading.Event()

    def stuck() -> Iterator[bytes]:
        yield pack_key(Keys.inbox(1, "site-01", 0), (5).to_bytes(8, "big"))
        never.wait(3)

    with pytest.raises(grpc.RpcError):
        ann._calls().put_large(stuck(), timeout=20)
    never.set()
    assert ann.head(Keys.inbox(1, "site-01", 0)) is None
    head = pack_key(Keys.inbox(1, "site-01", 0), (5).to_bytes(8, "big"))
    for pieces in ((b"1234",), (b"123456",), (b"123", b"", b"45"), ()):
        with pytest.raises(grpc.RpcError) as raised:
            ann._calls().put_large(iter((head, *pieces)), timeout=5)
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert objects(here) == [("registry/000001", objects(here)[0][1])]


def test_what_is_no_message_is_refused_and_moves_nothing(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed()
    channel = here.as_(here.fed.coordinator)._calls().channel
    before = objects(here)
    for method, message in (
        ("Put", b""),
        ("Put", b"\xff\xff"),
        ("Put", pack_key("../outside", b"x")),
        ("Put", pack_key("rounds/../x", b"x")),
        ("Put", b"\x00\x02\xc3\xa4"),
        ("Get", pack_key(Keys.registry(1))),
        ("Get", pack_key("registry/../../x", bytes(20))),
        ("Head", pack_key(Keys.registry(1), b"more")),
    ):
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary(f"/{SERVICE}/{method}")(message, timeout=5)
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT, (method, message)
    for method, message in (("Put", b"x" * 1_100_000), ("Forget", b""), ("Delete", b"")):
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(f"/{SERVICE}/{method}")(message, timeout=5)
    assert objects(here) == before


# -- many at once ------------------------------------------------------------------------------


def test_every_object_of_many_is_judged_alone(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed()
    ann = here.as_("site-01")
    assert here.store.put_if_absent(Keys.inbox(1, "site-02", 0), b"secret")
    mine, others = Keys.inbox(1, "site-01", 0), Keys.inbox(1, "site-02", 1)
    answers = dict(ann.put_many([(mine, b"x"), (others, b"y")]))
    assert isinstance(answers[others], AccessDenied)
    assert "R-157" in str(answers[others])
    assert here.store.head(others) is None
    assert here.store.read(mine, max_bytes=9) == b"x"
    read = dict(ann.read_many([mine, Keys.inbox(1, "site-02", 0), Keys.plan(1)], max_bytes=9))
    assert read[mine] == b"x"
    assert isinstance(read[Keys.inbox(1, "site-02", 0)], AccessDenied)
    assert isinstance(read[Keys.plan(1)], ObjectNotFound)


def test_every_object_of_many_counts_for_the_rate(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed(limits=RelayLimits(calls_per_s=0.01, burst=6))
    ann = here.as_("site-01")
    answers = [a for _, a in ann.read_many([Keys.registry(1)] * 9, max_bytes=1 << 20)]
    assert [type(a) for a in answers] == [bytes] * 6 + [TransientError] * 3
    assert "R-159" in str(answers[-1])


def test_large_and_small_objects_keep_their_order(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed()
    coordinator = here.as_(here.fed.coordinator)
    sizes = [5, 2_000_000, 1 << 20, (1 << 20) + 1, 0, *range(1, 80), 1_200_000]
    objects = [(Keys.ledger(n), bytes([n]) * size) for n, size in enumerate(sizes)]
    assert [*coordinator.put_many(iter(objects))] == [(key, True) for key, _ in objects]
    assert [*coordinator.put_many(iter(objects))] == [(key, False) for key, _ in objects]
    read = [*coordinator.read_many((key for key, _ in objects), max_bytes=2_000_000)]
    assert read == objects
    small = dict(coordinator.read_many([key for key, _ in objects], max_bytes=1 << 20))
    assert sum(isinstance(found, ObjectTooLarge) for found in small.values()) == 3


def test_what_a_callers_own_objects_raise_comes_out_and_what_was_answered_stays(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed()
    coordinator = here.as_(here.fed.coordinator)

    def failing() -> Iterator[tuple[str, bytes]]:
        for number in range(40):
            yield Keys.ledger(number), b"x"
        raise ValueError("the caller's own")

    answered = []
    with pytest.raises(ValueError, match="own"):
        answered.extend(coordinator.put_many(failing()))
    for key, _ in answered:
        assert here.store.read(key, max_bytes=1) == b"x"
    assert coordinator.put_if_absent(Keys.ledger(99), b"x"), "the store goes on"


def test_a_caller_that_stops_in_the_middle_is_no_failure_of_the_relays(
    relayed: Callable[..., RelayedFederation], caplog: pytest.LogCaptureFixture
) -> None:
    here = relayed()
    coordinator = here.as_(here.fed.coordinator)
    answers = coordinator.put_many((Keys.ledger(number), b"x" * 9000) for number in range(99))
    assert next(answers) == (Keys.ledger(0), True)
    del answers
    reads = coordinator.read_many([Keys.ledger(0)] * 99, max_bytes=9000)
    assert next(reads) == (Keys.ledger(0), b"x" * 9000)
    del reads
    assert coordinator.put_if_absent(Keys.plan(1), b"x")
    here.server.stop(5)
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == []


def test_a_relay_that_goes_away_leaves_an_error_for_each_object_of_many(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed()
    coordinator = here.as_(here.fed.coordinator, limits=PATIENT)
    objects = [(Keys.ledger(number), b"x" * 100_000) for number in range(60)]

    def ending() -> Iterator[tuple[str, bytes]]:
        for number, each in enumerate(objects):
            if number == 30:
                here.server.stop(0)
            yield each

    answers = [*coordinator.put_many(ending())]
    assert [key for key, _ in answers] == [key for key, _ in objects]
    for key, answer in answers:
        if answer is True:
            assert here.store.head(key) is not None
        else:
            assert isinstance(answer, TransientError)
    assert isinstance(answers[-1][1], TransientError)
    read = [*coordinator.read_many([key for key, _ in objects], max_bytes=1 << 20)]
    assert all(isinstance(found, TransientError) for _, found in read)


# -- around it ---------------------------------------------------------------------------------


def test_an_object_that_changes_while_it_is_read_is_not_joined(
    relayed: Callable[..., RelayedFederation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Housekeeping erased it, and somebody wrote it anew."""
    here = relayed()
    coordinator = here.as_(here.fed.coordinator)
    assert coordinator.put_if_absent(Keys.ledger(1), b"a" * 2_500_000)
    real = coordinator._range

    def between(key: str, max_bytes: int, offset: int) -> Any:
        if offset:
            here.store.forget(key)
            here.store.put_if_absent(key, b"b" * 2_500_000)
        return real(key, max_bytes, offset)

    monkeypatch.setattr(coordinator, "_range", between)
    with pytest.raises(TransientError, match="erased and written again"):
        coordinator.read(Keys.ledger(1), max_bytes=3_000_000)
    monkeypatch.undo()
    assert coordinator.read(Keys.ledger(1), max_bytes=3_000_000) == b"b" * 2_500_000


def test_the_clocks_are_compared(relayed: Callable[..., RelayedFederation]) -> None:
    ann = relayed().as_("site-01")
    assert ann.clock_skew_s is None
    ann.read(Keys.registry(1), max_bytes=1 << 20)
    assert ann.clock_skew_s is not None
    assert abs(ann.clock_skew_s) < 5


def test_a_second_relay_at_the_same_address_is_refused(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed()
    with pytest.raises(ConfigError, match="cannot be listened at"):
        RelayServer(
            here.store,
            here.authority,
            address=f"127.0.0.1:{here.server.port}",
            certificate=here.certificate,
        )


def test_a_renewed_certificate_is_taken_over_and_a_broken_one_is_not(
    relayed: Callable[..., RelayedFederation], tmp_path: Path
) -> None:
    here = relayed()
    (tmp_path / "new").mkdir()
    new = certificate_in(tmp_path / "new")
    files = here.certificate
    old_pem = files.certificate.read_bytes()
    files.certificate.write_bytes(b"half a certific")
    access = access_of_key(here.fed.keys["site-01"], now=datetime.now(UTC))
    (tmp_path / "old.pem").write_bytes(old_pem)
    store = GRPCStore(f"127.0.0.1:{here.server.port}", access=access, ca_file=tmp_path / "old.pem")
    assert store.head(Keys.registry(1)) is not None, "the last good one serves on"
    files.private_key.write_bytes(new.private_key.read_bytes())
    files.certificate.write_bytes(new.certificate.read_bytes())
    store = GRPCStore(f"127.0.0.1:{here.server.port}", access=access, ca_file=new.certificate)
    assert store.head(Keys.registry(1)) is not None


def test_a_refused_call_leaves_no_stream_open(relayed: Callable[..., RelayedFederation]) -> None:
    """Not even until the garbage collector comes: a relay bears so many streams and no more."""
    ann, key = relayed().as_("site-01"), Keys.inbox(1, "site-01", 0)
    assert ann.put_if_absent(key, b"first")
    gc.disable()
    try:
        assert not any(ann.put_if_absent(key, b"again") for _ in range(100))
    finally:
        gc.enable()


def test_a_relay_that_is_told_to_end_finishes_what_is_open(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed()
    ann = here.as_("site-01")
    goes_on = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield pack_key(Keys.inbox(1, "site-01", 0), (5).to_bytes(8, "big"))
        goes_on.wait(60)
        yield b"whole"

    future = ann._calls().put_large.future(slowly(), timeout=90)
    while not here.server.service._gate._open.total():
        time.sleep(0.01)
    ending = threading.Thread(target=here.server.stop, args=(60,))
    ending.start()
    with pytest.raises(TransientError):
        asked_until_refused(here.as_("site-02", limits=PATIENT))
    goes_on.set()
    assert future.result() == b""
    ending.join(60)
    assert not ending.is_alive()
    assert here.store.read(Keys.inbox(1, "site-01", 0), max_bytes=9) == b"whole"


@pytest.mark.parametrize("what", ["no key", "another's key", "an Ed25519 key"])
def test_a_certificate_that_cannot_serve_is_refused(tmp_path: Path, what: str) -> None:
    files = certificate_in(tmp_path)
    (tmp_path / "other").mkdir()
    other = certificate_in(tmp_path / "other")
    wrong = tmp_path / "wrong.key"
    if what == "another's key":
        wrong = other.private_key
    elif what == "an Ed25519 key":
        wrong.touch(mode=0o600)
        wrong.write_bytes(
            ed25519.Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    with pytest.raises(ConfigError):
        ServerCertificate(certificate=files.certificate, private_key=wrong).read()
    assert ServerCertificate(certificate=files.certificate, private_key=files.private_key).read()
