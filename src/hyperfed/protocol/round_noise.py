"""Draw the seed of a round's noise once, and seal it to the coordinators.

1. The seed is 32 bytes from the system's source. It is sealed to every coordinator's key that the
   frozen registry names for the round, so that each of them adds the same noise (R-110).
2. It is bound to the freeze: a seed of another freeze does not open.
3. The coordinator that creates it first decides; the others adopt it. Housekeeping erases it once
   the round has ended, because otherwise a stolen coordinator's key would reveal past noise.

What it does not do: turn the seed into noise (`privacy.noise_source`), or decide when it is used
(`protocol.machine`).
"""

from dataclasses import dataclass

from hyperfed.crypto.envelope import PacketType
from hyperfed.crypto.keys import KeyPair
from hyperfed.crypto.sealing import box_key, new_key, unbox_key
from hyperfed.errors import SchemaError, SignatureError
from hyperfed.protocol.documents import COORDINATOR, Write, sign_object
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze
from hyperfed.registry.registry import Registry

__all__ = ["RoundNoise", "draw_noise", "open_seed"]

_SEED_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundNoise:
    """Holds the seed of a round's noise, sealed."""

    federation: str
    """The federation's name."""
    round: int
    """The round."""
    freeze: bytes
    """Packet digest of the round's freeze, 32 bytes."""
    boxes: tuple[tuple[str, bytes], ...]
    """The sealed seed for each coordinator's key: (key id, 80 bytes), ascending."""

    def __post_init__(self) -> None:
        names = [name for name, _ in self.boxes]
        if len(self.freeze) != 32 or not names or names != sorted(set(names)):
            raise SchemaError(
                "names no freeze of 32 bytes, or its boxes are not one for each key, ascending",
                subject=f"noise of round {self.round}",
                rule="R-110",
            )


def draw_noise(freeze: Freeze, digest: bytes, *, registry: Registry, key_pair: KeyPair) -> Write:
    """Draw a seed, and return the signed object that holds it.

    `digest` is the freeze's packet digest, `registry` the version that it names. Each call draws
    anew; what is created first counts.
    """
    recipients = [r.keys for r in registry.coordinators if r.valid_in(freeze.round)]
    noise = RoundNoise(
        federation=freeze.federation,
        round=freeze.round,
        freeze=digest,
        boxes=box_key(new_key(), recipients),
    )
    return sign_object(
        Keys.noise(freeze.round),
        PacketType.NOISE,
        noise,
        key_pair=key_pair,
        time=freeze.time,
        audience=COORDINATOR,
    )


def open_seed(noise: RoundNoise, freeze: bytes, key_pair: KeyPair) -> bytes:
    """Return the seed, 32 bytes.

    Raises SignatureError where it is of another freeze, or not sealed to `key_pair`.
    """
    subject = f"noise of round {noise.round}"
    if noise.freeze != freeze:
        raise SignatureError("is of another freeze", subject=subject, rule="R-110")
    seed = unbox_key(dict(noise.boxes), key_pair, subject=subject)
    if len(seed) != _SEED_BYTES:
        raise SignatureError(f"is {len(seed)} bytes long", subject=subject, rule="R-110")
    return seed
