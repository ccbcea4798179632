"""Small-order and mixed-order keys: under them signatures verify that nobody made, or for some
verifiers and not for others.

They are refused where keys enter: enrolment, registry, whoever signs it. PyNaCl's constructors take
them.
"""

from collections.abc import Callable
from dataclasses import replace

import nacl.bindings
import nacl.signing
import pytest

from hyperfed.codec import PayloadCodec, pack, to_record
from hyperfed.codec.versions import lowered
from hyperfed.crypto.envelope import PacketType, sign_envelope
from hyperfed.crypto.keys import PublicKeys
from hyperfed.crypto.sealing import bind_body
from hyperfed.errors import PacketError, RegistryError
from hyperfed.registry.registry import KeyRecord, Registry, read_registry, registry_header
from hyperfed.testing.federation import SmallFederation, key_of
from tests.attack.conftest import VICTIM

# the eight points of small order and their other spellings (libsodium, ed25519_ref10.c,
# "blocklist"; Chalkias et al. 2020, table 1)
SMALL_ORDER = [
    bytes.fromhex(h)
    for h in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    )
]
HONEST = key_of("honest").public
MIXED_ORDER = nacl.bindings.crypto_core_ed25519_add(HONEST.signing, SMALL_ORDER[2])
OFF_CURVE = (2).to_bytes(32, "little")
BAD = {
    **{f"small {i}": point for i, point in enumerate(SMALL_ORDER)},
    "mixed order": MIXED_ORDER,
    "off the curve": OFF_CURVE,
}


def test_pynacl_itself_takes_a_mixed_order_key() -> None:
    """The reason for this file: the constructor does not check, and the point is a good one as far
    as its encoding goes.
    """
    nacl.signing.VerifyKey(MIXED_ORDER)
    assert HONEST.signing != MIXED_ORDER


@pytest.mark.parametrize("name", BAD)
def test_a_bad_point_never_enters_a_registry(fed: SmallFederation, name: str) -> None:
    keys = PublicKeys(signing=BAD[name], sealing=HONEST.sealing)
    record = fed.registry.client(VICTIM)
    objects = fed.objects()
    for changes in (
        {"clients": (*fed.registry.clients[:2], replace(record, keys=(KeyRecord(keys=keys),)))},
        {"coordinators": (KeyRecord(keys=keys),)},
        {"auditors": (KeyRecord(keys=keys),)},
        {"roots": (keys,)},
    ):
        with pytest.raises(RegistryError) as caught:
            fed.amend(**changes)
        assert caught.value.rule == "R-21"
    assert fed.objects() == objects


@pytest.mark.parametrize("name", BAD)
def test_not_even_if_the_roots_sign_it(fed: SmallFederation, name: str) -> None:
    """A root tool that does not check signs it anyway: everyone who reads the registry checks
    again.
    """
    record = lowered(Registry, to_record(fed.registry))[1]
    record["clients"][2]["keys"][0]["keys"]["signing"] = BAD[name]
    body = pack([1, "Registry", "", len(pack(record)), pack(record)])
    with pytest.raises(PacketError):
        PayloadCodec().decode(body, Registry)
    data = sign_envelope(
        PacketType.REGISTRY, bind_body(registry_header(fed.registry), body), body, fed.roots
    )
    with pytest.raises(PacketError) as caught:
        read_registry(data, before=None, fingerprint=fed.fingerprint)
    assert caught.value.rule == "R-21"


@pytest.mark.parametrize("point", SMALL_ORDER[:7])
def test_a_signature_that_nobody_made_does_not_hold(point: bytes) -> None:
    """Were such a key registered after all: R = the neutral point and S = 0 verify any message in a
    careless verifier.
    """
    neutral, zero = SMALL_ORDER[1], bytes(32)
    with pytest.raises(Exception, match=r".*"):
        nacl.bindings.crypto_sign_open(neutral + zero + b"anything", point)


def test_the_honest_twin(fed: SmallFederation, commit: Callable[..., None]) -> None:
    new = key_of("fresh")
    fed.rotate(VICTIM, new, from_round=1)
    fed.submit(VICTIM)
    commit(fed)
