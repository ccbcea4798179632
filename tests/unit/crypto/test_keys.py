"""Key files and public keys: what is on disk stays private, and what is no honest key never becomes
one.
"""

import json
import os
import stat
from pathlib import Path
from typing import Any

import nacl.bindings
import nacl.pwhash
import pytest

from hyperfed.crypto.keys import KeyPair, PublicKeys, key_id_of
from hyperfed.errors import ConfigError, RegistryError
from hyperfed.testing.federation import key_of

PAIR = key_of("alice")


@pytest.fixture(autouse=True)
def _cheap_argon2(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least work Argon2id allows, so that the tests are quick;
    `test_the_passphrase_costs_what_it_should` uses the real cost.
    """
    monkeypatch.setattr(
        nacl.pwhash.argon2id, "OPSLIMIT_MODERATE", nacl.pwhash.argon2id.OPSLIMIT_MIN
    )
    monkeypatch.setattr(
        nacl.pwhash.argon2id, "MEMLIMIT_MODERATE", nacl.pwhash.argon2id.MEMLIMIT_MIN
    )


def saved(tmp_path: Path, passphrase: str | None = None) -> Path:
    path = tmp_path / "keys" / "alice.key"
    PAIR.save(path, passphrase)
    return path


def rewrite(path: Path, **changes: Any) -> None:
    document = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in document.items() if v is not ...}))


def refused(path: Path, passphrase: str | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        KeyPair.load(path, passphrase)
    assert caught.value.subject == str(path)
    return caught.value


def test_a_pair_survives_its_file(tmp_path: Path) -> None:
    pair = KeyPair.load(saved(tmp_path))
    assert pair.public == PAIR.public
    assert pair.sign(b"x") == PAIR.sign(b"x")


def test_pairs_differ_and_do_not_show_themselves() -> None:
    one, other = KeyPair.generate(), KeyPair.generate()
    assert one.key_id != other.key_id
    assert repr(one) == f"KeyPair({one.key_id})"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_the_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    (tmp_path / "keys").mkdir()
    before = os.umask(umask)
    try:
        path = saved(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = saved(tmp_path)
    content = path.read_bytes()
    with pytest.raises(ConfigError, match="never overwritten") as caught:
        KeyPair.generate().save(path)
    assert caught.value.rule == "R-20"
    assert path.read_bytes() == content


def test_a_key_is_not_written_through_a_symlink(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(ConfigError, match="never overwritten"):
        PAIR.save(tmp_path / "link")
    assert not target.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o666, 0o601])
def test_a_key_that_others_can_reach_is_refused(open_folder: Path, mode: int) -> None:
    path = saved(open_folder)
    path.chmod(mode)
    error = refused(path)
    assert error.rule == "R-20"
    assert f"{mode:o}" in error.problem
    assert "chmod 600" in error.remedy


def test_a_stricter_mode_will_do(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.chmod(0o400)
    assert KeyPair.load(path).key_id == PAIR.key_id


def test_a_passphrase_protects_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path, "correct horse")
    assert "seed" not in json.loads(path.read_text())
    assert KeyPair.load(path, "correct horse").key_id == PAIR.key_id
    assert "wrong passphrase" in refused(path, "battery staple").problem
    assert "HYPERFED_PASSPHRASE" in refused(path).remedy


def test_a_passphrase_that_is_no_utf_8_is_taken_as_its_bytes(tmp_path: Path) -> None:
    """A terminal or a file in Latin-1 gives such a one; Python holds its bytes as surrogates."""
    typed = os.fsdecode("Schlüssel".encode("latin-1"))
    path = saved(tmp_path, typed)
    assert KeyPair.load(path, typed).key_id == PAIR.key_id
    assert "wrong passphrase" in refused(path, os.fsdecode(b"Schl\xfdssel")).problem


def test_an_empty_passphrase_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="protects nothing"):
        saved(tmp_path, "")
    assert not (tmp_path / "keys").exists()


@pytest.mark.slow
def test_the_passphrase_costs_what_it_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Argon2id, moderate: 3 passes over 256 MB."""
    monkeypatch.undo()
    asked: list[tuple[int, int]] = []
    real = nacl.pwhash.argon2id.kdf

    def kdf(*args: Any, opslimit: int, memlimit: int) -> bytes:
        asked.append((opslimit, memlimit))
        return real(*args, opslimit=opslimit, memlimit=memlimit)

    monkeypatch.setattr(nacl.pwhash.argon2id, "kdf", kdf)
    path = saved(tmp_path, "correct horse")
    assert KeyPair.load(path, "correct horse").key_id == PAIR.key_id
    assert asked == [(3, 256 << 20)] * 2


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": KeyPair.generate()._seed.hex()},
        {"seed": "AAAA"},
        {"seed": 5},
        {"seed": ...},
        {"seed": "not base64!"},
        {"format": "hyperfed-key/2"},
        {"format": ...},
        {"public": {}},
        {"public": []},
        {"public": "x"},
        {"public": ...},
        {"public": {**PAIR.public.to_json(), "signing": key_of("bob").public.to_json()["signing"]}},
        {"public": key_of("bob").public.to_json()},
    ],
)
def test_a_file_that_was_changed_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = saved(tmp_path)
    rewrite(path, **changes)
    try:
        error = refused(path)
    except AssertionError:  # a seed of another length is named by what it is
        with pytest.raises(ConfigError, match="32 bytes"):
            KeyPair.load(path)
    else:
        assert error.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"salt": "AAAA"},
        {"box": "AAAA"},
        {"box": "!"},
        {"salt": ...},
        {"kdf": "md5"},
        {"kdf": ...},
        {"box": None},
    ],
)
def test_a_locked_file_that_was_changed_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = saved(tmp_path, "correct horse")
    rewrite(path, **changes)
    refused(path, "correct horse")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 50_000, b"{}", b" " * (1 << 17)],
)
def test_what_is_no_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "alice.key"
    path.write_bytes(content)
    path.chmod(0o600)
    refused(path)


def test_a_missing_file_a_directory_and_a_pipe_are_refused(tmp_path: Path) -> None:
    assert "keygen" in refused(tmp_path / "none").remedy
    refused(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    refused(tmp_path / "pipe")  # and does not wait for a writer


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        PAIR.save(tmp_path / "file" / "alice.key")


def test_half_a_file_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ConfigError, match="No space left"):
            saved(tmp_path)
    assert not (tmp_path / "keys" / "alice.key").exists()
    saved(tmp_path)


def test_a_place_that_keeps_no_permissions_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount that decides modes itself would show the key to all."""

    def open_to_all(fd: int, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    before = os.umask(0)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fchmod", open_to_all)
            patch.setattr(
                os, "open", lambda path, flags, mode, real=os.open: real(path, flags, 0o644)
            )
            with pytest.raises(ConfigError, match="keeps no permissions"):
                saved(tmp_path)
    finally:
        os.umask(before)
    assert not (tmp_path / "keys" / "alice.key").exists()


# -- public keys -----------------------------------------------------------------------------------


def test_public_keys_survive_json() -> None:
    assert PublicKeys.from_json(PAIR.public.to_json()) == PAIR.public
    assert PAIR.public.key_id == key_id_of(PAIR.public.signing, PAIR.public.sealing)
    KeyPair.generate().public.check_points()  # not one that was checked before


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"signing": "AAAA", "sealing": "AAAA"},
        {"signing": 5, "sealing": 5},
        {"signing": "!", "sealing": "!"},
        "x",
    ],
)
def test_what_is_no_pair_of_public_keys_is_refused(value: Any) -> None:
    with pytest.raises(RegistryError):
        PublicKeys.from_json(value)


def test_a_key_id_that_is_not_that_of_the_keys_is_refused() -> None:
    with pytest.raises(RegistryError, match="key id"):
        PublicKeys.from_json(PAIR.public.to_json() | {"key_id": "0" * 32})


P25519 = (1 << 255) - 19


@pytest.mark.parametrize(
    "sealing",
    [
        bytes(32),
        (1).to_bytes(32, "little"),
        P25519.to_bytes(32, "little"),
        (P25519 - 1).to_bytes(32, "little"),
        bytes([0] * 31 + [128]),
    ],
    ids=["zero", "one", "p", "p-1", "zero, high bit"],
)
def test_small_order_sealing_keys_are_refused(sealing: bytes) -> None:
    with pytest.raises(RegistryError) as caught:
        PublicKeys(signing=PAIR.public.signing, sealing=sealing).check_points()
    assert caught.value.rule == "R-21"


def test_a_second_spelling_of_a_sealing_key_is_refused() -> None:
    """X25519 ignores the highest bit: with it set the key is the same, and would pass for another
    one.
    """
    with pytest.raises(RegistryError, match="canonical"):
        PublicKeys(
            signing=PAIR.public.signing, sealing=P25519.to_bytes(32, "little")
        ).check_points()
    twin = bytearray(PAIR.public.sealing)
    twin[31] |= 128
    assert nacl.bindings.crypto_scalarmult(
        b"\1" * 32, bytes(twin)
    ) == nacl.bindings.crypto_scalarmult(b"\1" * 32, PAIR.public.sealing)
    with pytest.raises(RegistryError, match="canonical"):
        PublicKeys(signing=PAIR.public.signing, sealing=bytes(twin)).check_points()


@pytest.mark.parametrize("signing", [bytes(32), (1).to_bytes(32, "little"), b"\xff" * 32])
def test_signing_keys_that_verify_what_nobody_signed_are_refused(signing: bytes) -> None:
    with pytest.raises(RegistryError, match="not a valid Ed25519 point") as caught:
        PublicKeys(signing=signing, sealing=PAIR.public.sealing).check_points()
    assert caught.value.rule == "R-21"


def test_public_keys_have_32_bytes_each() -> None:
    signing, sealing = PAIR.public.signing, PAIR.public.sealing
    for wrong in ((signing[:-1], sealing), (signing, sealing + b"x")):
        with pytest.raises(RegistryError, match="32 bytes"):
            PublicKeys(signing=wrong[0], sealing=wrong[1])


@pytest.mark.parametrize("seed", [b"", b"s" * 31, b"s" * 33])
def test_a_seed_has_32_bytes(seed: bytes) -> None:
    with pytest.raises(ConfigError, match=f"32 bytes, not {len(seed)}"):
        KeyPair(seed)
