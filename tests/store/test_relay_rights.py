"""A relay: whose key may do what, and which certificates show it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from hyperfed.crypto.keys import KeyPair
from hyperfed.errors import (
    AccessDenied,
    ConfigError,
    TransientError,
    TransportError,
)
from hyperfed.operations.access import Role, access_of
from hyperfed.protocol.object_keys import Keys, page_of
from hyperfed.registry.registry import ClientRecord, KeyRecord
from hyperfed.relay.server import RelayServer
from hyperfed.storage.grpc_access import RelayAccess, access_of_key
from hyperfed.storage.grpc_messages import HEALTH, SERVICE, pack_key
from hyperfed.storage.grpc_store import GRPCStore
from hyperfed.testing.federation import key_of
from tests.store.relays import PATIENT, RelayedFederation, certificate_in, objects

# -- whose key may do what ---------------------------------------------------------------------


def test_a_client_writes_in_its_own_folders_and_nowhere_else(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed()
    ann = here.as_("site-01")
    for key in (Keys.inbox(1, "site-01", 0), Keys.gossip(1, 0, "site-01")):
        assert ann.put_if_absent(key, b"mine") is True
        assert ann.put_if_absent(key, b"again") is False
        assert ann.read(key, max_bytes=9) == b"mine"
    before = objects(here)
    for key in (
        Keys.inbox(1, "site-02", 0),
        Keys.gossip(1, 0, "site-02"),
        Keys.plan(1),
        Keys.result(1),
        Keys.freeze(1),
        Keys.ledger(1),
        Keys.registry(2),
        Keys.receipt(1, "site-01"),
        "probe/x",
        "pruned/000001",
        "inbox/site-01",
        # in a folder these would stand in the way of another's object
        "inbox/00000001/site-02/0/site-01/0",
        "inbox/00000001/site-02/site-01/0",
        "gossip/00000001/00/site-02/site-01",
        "gossip/site-01",
        "mail/site-02/site-03/0",
    ):
        with pytest.raises(AccessDenied, match=rf"site-01 may not create {key}.*R-157"):
            ann.put_if_absent(key, b"x")
        with pytest.raises(AccessDenied):
            ann.put_if_absent(key, b"x" * 2_000_000)
    assert objects(here) == before


def test_what_iam_lets_a_role_read_is_what_the_relay_lets_it_read(
    relayed: Callable[..., RelayedFederation],
) -> None:
    """The same patterns decide, whatever the role: each is asked for keys of every kind."""
    here = relayed()
    keys = [
        Keys.registry(1),
        Keys.ledger(1),
        Keys.plan(1),
        Keys.result(1),
        Keys.state(1),
        Keys.freeze(1),
        Keys.noise(1),
        Keys.accepted(1, b"\1" * 32),
        Keys.receipt(1, "site-01"),
        Keys.receipt(1, "site-02"),
        Keys.links(1, "site-02"),
        Keys.receipt_page(1, page_of("site-01")),
        Keys.inbox(1, "site-01", 0),
        Keys.inbox(1, "site-02", 0),
        Keys.gossip(1, 0, "site-02"),
        "probe/x",
        "prefect/stages/x",
    ]
    client_reads = {
        k
        for k in keys
        if k.startswith(("registry/", "ledger/", "gossip/"))
        or k.endswith(("/plan", "/result", "/site-01", "/site-01/0"))
        or "/receipt-pages/" in k
    }
    for pair, wanted in (
        (here.fed.keys["site-01"], client_reads),
        (here.fed.coordinator, set(keys)),
        (here.fed.auditors[0], set(keys)),
        (here.fed.roots[0], {"registry/000001", "probe/x"}),
    ):
        store, readable = here.as_(pair), set()
        for key in keys:
            try:
                store.head(key)
            except AccessDenied:
                continue
            readable.add(key)
        assert readable == wanted
        assert [info.key for info in store.list("")] == [Keys.registry(1)], "everybody may list"
    creates = access_of(Role.COORDINATOR).creates
    assert "inbox/*" not in creates
    with pytest.raises(AccessDenied):
        here.as_(here.fed.coordinator).put_if_absent(Keys.inbox(1, "site-01", 0), b"x")
    with pytest.raises(AccessDenied):
        here.as_(here.fed.auditors[0]).put_if_absent(Keys.ledger(1), b"x")


def test_an_unknown_key_is_refused_before_it_asks_anything(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed()
    with pytest.raises(TransientError, match="does not know this key"):
        here.as_(KeyPair.generate()).put_if_absent("inbox/00000001/site-01/0", b"x")
    assert objects(here) == [("registry/000001", objects(here)[0][1])]


def test_a_revoked_key_is_refused_at_once_on_an_open_connection_too(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed()
    ann, honest = here.as_("site-01"), here.as_("site-02")
    assert ann.put_if_absent(Keys.inbox(1, "site-01", 0), b"x")
    here.now = here.fed.opens(3)
    here.fed.revoke("site-01", from_round=3)
    here.seconds += 2
    with pytest.raises(AccessDenied, match="was valid until round 2; 3 runs"):
        ann.put_if_absent(Keys.inbox(3, "site-01", 0), b"x")
    with pytest.raises(AccessDenied, match="was valid until round 2"):
        here.as_("site-01").head(Keys.registry(1))
    assert honest.put_if_absent(Keys.inbox(3, "site-02", 0), b"x")


def test_a_new_client_and_a_rotated_key_need_no_restart(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed()
    new = key_of("the new one")
    record = ClientRecord(
        client_id="site-09", organisation="new", keys=(KeyRecord(keys=new.public),)
    )
    with pytest.raises(TransientError):
        here.as_(new).head(Keys.registry(1))
    here.fed.amend(clients=(*here.fed.registry.clients, record))
    here.seconds += 2
    assert here.as_(new).put_if_absent(Keys.inbox(1, "site-09", 0), b"x")
    here.fed.rotate("site-01", key_of("rotated"), from_round=2)
    here.seconds += 2
    assert here.as_(key_of("rotated")).put_if_absent(Keys.inbox(1, "site-01", 0), b"x")
    assert here.as_(key_of("small-fed/site-01")).read(Keys.inbox(1, "site-01", 0), max_bytes=1)


def test_a_registry_that_the_roots_did_not_sign_changes_nothing(
    relayed: Callable[..., RelayedFederation], caplog: pytest.LogCaptureFixture
) -> None:
    """One root of several may create registry objects; only enough of them make a version."""
    here = relayed()
    assert here.as_(here.fed.roots[0]).put_if_absent(Keys.registry(2), b"not signed by anybody")
    here.seconds += 2
    assert here.as_("site-01").head(Keys.registry(1)) is not None
    assert here.authority.version == 1
    assert "version 1 holds" in caplog.text


# -- false certificates ------------------------------------------------------------------------


def forged(
    issuer: str, signer: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, **options: Any
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    edwards = isinstance(signer, ed25519.Ed25519PrivateKey)
    now, authority = datetime.now(UTC), options.get("authority", False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(options.get("subject", "x")))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]), False)
    )
    return builder.sign(signer, None if edwards else HASH), key


HASH = hashes.SHA256()


def shown(key: ec.EllipticCurvePrivateKey, *chain: x509.Certificate) -> RelayAccess:
    pem = serialization.Encoding.PEM
    return RelayAccess(
        private_key=key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        certificate=b"".join(one.public_bytes(pem) for one in chain),
    )


def at(here: RelayedFederation, access: RelayAccess) -> GRPCStore:
    return GRPCStore(
        f"127.0.0.1:{here.server.port}",
        access=access,
        ca_file=here.certificate.certificate,
        limits=PATIENT,
    )


def test_a_certificate_in_anothers_name_is_refused(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed()
    victim = here.fed.keys["site-02"].key_id
    own, key = forged(victim, ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(TransientError):
        at(here, shown(key, own)).head(Keys.registry(1))
    with pytest.raises(AccessDenied, match="is not signed by key"):
        here.authority.party_of(own.public_bytes(serialization.Encoding.PEM))


def test_a_client_cannot_be_an_authority_for_anothers_name(
    relayed: Callable[..., RelayedFederation],
) -> None:
    """site-01's key signs an authority that bears site-02's key id, and that signs a certificate:
    the chain leads to a trusted key, and the issuer's name is site-02's (R-155).
    """
    here = relayed()
    attacker, victim = here.fed.keys["site-01"], here.fed.keys["site-02"].key_id
    between, between_key = forged(
        attacker.key_id, ed25519.Ed25519PrivateKey.generate(), subject=victim, authority=True
    )
    encoded = between.public_bytes(serialization.Encoding.DER)
    signature = attacker.sign(between.tbs_certificate_bytes)
    between = x509.load_der_x509_certificate(encoded[:-64] + signature)
    leaf, key = forged(victim, between_key)
    with pytest.raises((TransientError, AccessDenied)):
        at(here, shown(key, leaf, between)).head(Keys.registry(1))
    with pytest.raises(AccessDenied, match="R-156"):
        here.authority.party_of(leaf.public_bytes(serialization.Encoding.PEM))
    honest = here.authority.party_of(
        access_of_key(here.fed.keys["site-02"], now=datetime.now(UTC)).certificate
    )
    assert honest.name == "site-02"


def test_an_access_that_has_ended_is_refused(relayed: Callable[..., RelayedFederation]) -> None:
    here = relayed()
    pair = here.fed.keys["site-01"]
    long_ago = datetime.now(UTC) - timedelta(days=30)
    with pytest.raises(TransientError):
        at(here, access_of_key(pair, now=long_ago, days=7)).head(Keys.registry(1))
    assert at(here, access_of_key(pair, now=long_ago)).head(Keys.registry(1)) is not None


def test_a_relay_that_another_certificate_vouches_for_is_not_spoken_to(
    relayed: Callable[..., RelayedFederation], tmp_path: Path
) -> None:
    here = relayed()
    (tmp_path / "other").mkdir()
    other = certificate_in(tmp_path / "other").certificate
    access = access_of_key(here.fed.keys["site-01"], now=datetime.now(UTC))
    store = GRPCStore(f"127.0.0.1:{here.server.port}", access=access, ca_file=other)
    with pytest.raises(TransportError, match=r"cannot be spoken to safely.*ca_file") as raised:
        store.head(Keys.registry(1))
    assert not isinstance(raised.value, TransientError)
    named = GRPCStore(
        f"localhost:{here.server.port}", access=access, ca_file=here.certificate.certificate
    )
    with pytest.raises(TransportError, match="cannot be spoken to safely") as raised:
        named.head(Keys.registry(1))
    assert not isinstance(raised.value, TransientError)


def test_without_tls_there_is_health_on_this_machine_and_nothing_else(
    relayed: Callable[..., RelayedFederation],
) -> None:
    here = relayed(health=True)
    with grpc.insecure_channel(f"127.0.0.1:{here.server.health_port}") as channel:
        check = channel.unary_unary(f"/{HEALTH}/Check")
        assert check(b"") == b"\x08\x01"
        name = SERVICE.encode()
        assert check(b"\n" + bytes([len(name)]) + name) == b"\x08\x01"
        with pytest.raises(grpc.RpcError) as raised:
            check(b"\n\x05other")
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND
        for method in ("Get", "Head", "Put"):
            with pytest.raises(grpc.RpcError) as raised:
                channel.unary_unary(f"/{SERVICE}/{method}")(pack_key(Keys.registry(1)))
            assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
        here.server.service.serving = False
        assert check(b"") == b"\x08\x02"
    with pytest.raises(ConfigError, match="for this machine alone"):
        RelayServer(
            here.store,
            here.authority,
            address="127.0.0.1:0",
            certificate=here.certificate,
            health_address="0.0.0.0:0",
        )
