"""Make, keep and load keys: an Ed25519 pair to sign and an X25519 pair to open sealed bodies.

Both pairs lie in one file.

1. Key files are created exclusively with mode 0600, and refused where others can reach them (R-20,
   `storage.private_files`).
2. A passphrase is optional: Argon2id (moderate) makes a key of it, with which XSalsa20-Poly1305
   encrypts the secrets.
3. A key id is the first 32 hexadecimal digits of SHA-256 over both public keys. It names a pair and
   proves nothing.
4. Public keys are checked when they enter a registry, not later: they must be valid, canonical
   points of the main subgroup (R-21).

What it does not do: sign packets (`crypto.envelope`), or say who may speak (`registry`).
"""

import base64
import binascii
import errno
import hashlib
import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import nacl.bindings
import nacl.exceptions
import nacl.pwhash
import nacl.secret
import nacl.utils

from hyperfed.errors import ConfigError, RegistryError
from hyperfed.storage.private_files import read_private

__all__ = ["KeyPair", "PublicKeys", "key_id_of"]

_FORMAT = "hyperfed-key/1"
_KDF = "argon2id-moderate"
_MAX_FILE_BYTES = 1 << 16
_X25519_PRIME = (1 << 255) - 19
_CHECKED_KEYS = 1 << 18  # the number of pairs whose check is cached


@lru_cache(maxsize=1 << 16)
def key_id_of(signing: bytes, sealing: bytes) -> str:
    """Return the 32 hexadecimal digits that name a pair of public keys."""
    return hashlib.sha256(b"hyperfed/key\n" + signing + sealing).hexdigest()[:32]


@lru_cache(maxsize=_CHECKED_KEYS)
def _wrong_with(signing: bytes, sealing: bytes) -> str:
    """Return what is wrong with two public keys, or "".

    The answer is cached: a check takes 0.1 ms, and each version of a registry names nearly all keys
    of the version before it.
    """
    # a second spelling of a key would pass for a different key
    if int.from_bytes(sealing, "little") >= _X25519_PRIME:
        return "the sealing key is not in its canonical form"
    if not nacl.bindings.crypto_core_ed25519_is_valid_point(signing):
        return "the signing key is not a valid Ed25519 point"
    try:
        nacl.bindings.crypto_scalarmult(b"\x01" * 32, sealing)
    except (nacl.exceptions.RuntimeError, RuntimeError):
        return "the sealing key is of small order"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKeys:
    """Holds the public halves of a `KeyPair`.

    Raises RegistryError where a key does not have 32 bytes.
    """

    signing: bytes
    """Ed25519 public key, 32 bytes."""
    sealing: bytes
    """X25519 public key, 32 bytes."""

    def __post_init__(self) -> None:
        if len(self.signing) != 32 or len(self.sealing) != 32:
            raise RegistryError(
                f"public keys have 32 bytes, not {len(self.signing)} and {len(self.sealing)}",
                rule="R-21",
            )

    @property
    def key_id(self) -> str:
        return key_id_of(self.signing, self.sealing)

    def check_points(self) -> None:
        """Raise RegistryError where a key is not a valid point of the main subgroup.

        Keys of small or mixed order would verify what nobody signed.
        """
        problem = _wrong_with(self.signing, self.sealing)
        if problem:
            raise RegistryError(
                problem,
                subject=self.key_id,
                rule="R-21",
                remedy="Make a new pair with `hyperfed keygen`",
            )

    def to_json(self) -> dict[str, str]:
        return {
            "key_id": self.key_id,
            "signing": base64.b64encode(self.signing).decode(),
            "sealing": base64.b64encode(self.sealing).decode(),
        }

    @classmethod
    def from_json(cls, value: Any, subject: str = "public keys") -> "PublicKeys":
        """Return the keys that `to_json` wrote as `value`.

        Raises RegistryError where `value` is not of that form, or names another key id.
        """
        try:
            keys = cls(
                signing=base64.b64decode(value["signing"], validate=True),
                sealing=base64.b64decode(value["sealing"], validate=True),
            )
        except (KeyError, TypeError, ValueError, binascii.Error) as exc:
            raise RegistryError("not a pair of public keys", subject=subject, rule="R-21") from exc
        if value.get("key_id", keys.key_id) != keys.key_id:
            raise RegistryError(
                f"the key id {value['key_id']!r:.60} is not that of these keys, which is "
                f"{keys.key_id}",
                subject=subject,
                rule="R-21",
            )
        return keys


class KeyPair:
    """Holds the secret keys of one party, which sign and open sealed bodies.

    Use `KeyPair.generate()`, `KeyPair.load(path)` and `pair.save(path)`. `public` is what others
    may know.
    """

    __slots__ = ("_sealing_secret", "_seed", "_signing_secret", "public")

    def __init__(self, seed: bytes) -> None:
        """Derive the pair from a 32-byte seed. Raises ConfigError for another length."""
        if len(seed) != 32:
            raise ConfigError(f"a key seed has 32 bytes, not {len(seed)}")
        self._seed = seed
        signing_seed = hashlib.sha256(b"hyperfed/signing\n" + seed).digest()
        sealing_seed = hashlib.sha256(b"hyperfed/sealing\n" + seed).digest()
        signing_public, self._signing_secret = nacl.bindings.crypto_sign_seed_keypair(signing_seed)
        sealing_public, self._sealing_secret = nacl.bindings.crypto_box_seed_keypair(sealing_seed)
        self.public = PublicKeys(signing=signing_public, sealing=sealing_public)

    def __repr__(self) -> str:
        return f"KeyPair({self.key_id})"

    @classmethod
    def generate(cls) -> "KeyPair":
        """Return a new pair from the operating system's random source."""
        return cls(nacl.utils.random(32))

    @property
    def key_id(self) -> str:
        return self.public.key_id

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of `message`; it is deterministic."""
        return bytes(nacl.bindings.crypto_sign(message, self._signing_secret)[:64])

    def open_sealed(self, box: bytes) -> bytes:
        """Return the content of a SealedBox that was sealed to this pair's sealing key.

        Raises nacl's CryptoError, which `crypto.sealing` translates.
        """
        return nacl.bindings.crypto_box_seal_open(box, self.public.sealing, self._sealing_secret)

    def derived(self, purpose: bytes) -> bytes:
        """Return a 32-byte secret for one purpose, the same wherever this pair is loaded.

        It reveals nothing about the pair or about the secret for another purpose.
        """
        return hashlib.blake2b(
            purpose, key=self._seed, person=b"hyperfed/derive", digest_size=32
        ).digest()

    def save(self, path: Path, passphrase: str | None = None) -> None:
        """Create `path` with mode 0600 and write the pair into it.

        Raises ConfigError where the file exists (a key is never overwritten) or cannot be written,
        or where the passphrase is empty.
        """
        if passphrase == "":
            raise ConfigError(
                "an empty passphrase protects nothing",
                subject=str(path),
                rule="R-20",
                remedy="Give a passphrase of at least one character, or none at all",
            )
        document: dict[str, Any] = {"format": _FORMAT, "public": self.public.to_json()}
        if passphrase is None:
            document["seed"] = base64.b64encode(self._seed).decode()
        else:
            salt = nacl.utils.random(nacl.pwhash.argon2id.SALTBYTES)
            box = nacl.secret.SecretBox(_stretch(passphrase, salt)).encrypt(self._seed)
            document |= {
                "kdf": _KDF,
                "salt": base64.b64encode(salt).decode(),
                "box": base64.b64encode(box).decode(),
            }
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise ConfigError(f"cannot be written: {exc.strerror}", subject=str(path)) from exc
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as exc:
            raise ConfigError(
                "there is a file already, and a key is never overwritten",
                subject=str(path),
                rule="R-20",
                remedy="Choose another path, or move the old key away",
            ) from exc
        except OSError as exc:
            raise ConfigError(f"cannot be written: {exc.strerror}", subject=str(path)) from exc
        try:
            with os.fdopen(fd, "w") as file:
                with suppress(PermissionError):  # a mount may decide modes itself
                    os.fchmod(fd, 0o600)  # whatever the umask or a default ACL made of it
                if stat.S_IMODE(os.fstat(fd).st_mode) & 0o077:
                    raise OSError(errno.ENOTSUP, "its file system keeps no permissions")
                json.dump(document, file, indent=1)
                file.write("\n")
                file.flush()
                os.fsync(fd)
        except OSError as exc:
            # half a key is useless, and would stand in the way of the next try
            path.unlink(missing_ok=True)
            raise ConfigError(
                f"cannot be written: {exc.strerror}",
                subject=str(path),
                remedy="Choose a place on a disk of this machine, where only you can read it",
            ) from exc

    @classmethod
    def load(cls, path: Path, passphrase: str | None = None) -> "KeyPair":
        """Return the pair in `path`.

        Raises ConfigError where the file is missing, others can read it, the passphrase is wrong,
        or it is not a key file.
        """
        subject = str(path)
        text = read_private(
            path,
            what="key",
            max_bytes=_MAX_FILE_BYTES,
            remedy="Make one with `hyperfed keygen`, or restore it from a backup",
        )
        try:
            document = json.loads(text)
            if document["format"] != _FORMAT:
                raise ConfigError(
                    f"key format {document['format']!r:.40}; this library reads {_FORMAT}",
                    subject=subject,
                    remedy="Update hyperfed",
                )
            pair = cls(_unlock(document, passphrase, subject))
            public = document["public"]
        except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as exc:
            raise ConfigError(
                "not a Hyperfed key file", subject=subject, remedy="Restore it from a backup"
            ) from exc
        if public != pair.public.to_json():
            raise ConfigError(
                "the public half does not belong to the secret half",
                subject=subject,
                remedy="The file was changed; restore it from a backup",
            )
        return pair


def _stretch(passphrase: str, salt: bytes) -> bytes:
    kdf = nacl.pwhash.argon2id
    return kdf.kdf(
        nacl.secret.SecretBox.KEY_SIZE,
        passphrase.encode("utf-8", "surrogateescape"),  # the bytes as they were typed
        salt,
        opslimit=kdf.OPSLIMIT_MODERATE,
        memlimit=kdf.MEMLIMIT_MODERATE,
    )


def _unlock(document: dict[str, Any], passphrase: str | None, subject: str) -> bytes:
    if "seed" in document:
        return base64.b64decode(document["seed"], validate=True)
    if passphrase is None:
        raise ConfigError(
            "this key has a passphrase",
            subject=subject,
            remedy="Set HYPERFED_PASSPHRASE or answer the prompt",
        )
    if document["kdf"] != _KDF:
        raise ConfigError(
            f"key derivation {document['kdf']!r:.40}; this library knows {_KDF}",
            subject=subject,
            remedy="Update hyperfed",
        )
    try:
        secret = nacl.secret.SecretBox(
            _stretch(passphrase, base64.b64decode(document["salt"], validate=True))
        )
        return secret.decrypt(base64.b64decode(document["box"], validate=True))
    except nacl.exceptions.CryptoError as exc:
        raise ConfigError("wrong passphrase", subject=subject) from exc
