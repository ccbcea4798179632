"""Give a release its noise: from the round's seed, or from the system's source.

1. A stream of noise is asked for with everything that it may depend on: a label (which group, or
   the counts of a selection), the mechanism, and the exact integer sums it will hide.
2. From a seed the stream is SHAKE-256 in counter mode over a key, and the key is BLAKE2b of freeze,
   version of the sampler, label, mechanism and digest of the sums, under the seed. Every
   coordinator
   finds the same noise for the same sums, and unrelated noise for other sums: two answers can never
   be subtracted to cancel it (R-110).
3. `SeededNoise.digest` says which sums were hidden, so that a coordinator that has shown a value of
   a freeze can refuse to show another.
4. `fresh_noise` draws anew each time. It is for a client's own message and for simulations.

What it does not do: sample (`discrete_gaussian`), or keep a seed.
"""

import hashlib
import os
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hyperfed.codec import pack
from hyperfed.privacy.discrete_gaussian import SAMPLER, RandomBytes
from hyperfed.protocol.entries import Mechanism

__all__ = ["NoiseSource", "SeededNoise", "fresh_noise"]

NoiseSource = Callable[[str, Mechanism, npt.NDArray[np.int64]], RandomBytes]
"""A function from (label, mechanism, exact sums) to a stream of random bytes."""

_CHUNK = 1 << 16
_PERSON = b"hyperfed/noise/1"


def fresh_noise(_label: str, _mechanism: Mechanism, _sums: npt.NDArray[np.int64]) -> RandomBytes:
    """Return the system's source: noise that nobody draws again."""
    return os.urandom


class SeededNoise:
    """Gives the noise of one round's release, as its seed says."""

    def __init__(self, seed: bytes, freeze: bytes) -> None:
        self._seed, self._freeze = seed, freeze
        self._hidden: list[bytes] = []

    @property
    def drawn(self) -> bool:
        """Whether noise was asked for."""
        return bool(self._hidden)

    @property
    def digest(self) -> bytes:
        """Return what was hidden so far: SHA-256 over every key's context, in order."""
        return hashlib.sha256(pack(list(self._hidden))).digest()

    def __call__(
        self, label: str, mechanism: Mechanism, sums: npt.NDArray[np.int64]
    ) -> RandomBytes:
        """Return the stream for these sums."""
        exact = np.ascontiguousarray(sums, dtype="<i8")
        context = pack(
            [
                SAMPLER,
                self._freeze,
                label,
                [
                    mechanism.kind,
                    str(mechanism.epsilon),
                    str(mechanism.delta),
                    mechanism.sigma,
                    mechanism.sensitivity,
                    mechanism.place,
                    mechanism.unit,
                ],
                hashlib.sha256(exact.tobytes()).digest(),
            ]
        )
        self._hidden.append(context)
        key = hashlib.blake2b(context, key=self._seed, digest_size=32, person=_PERSON).digest()
        return _Stream(key)


class _Stream:
    """The bytes of one key, in the order in which they are asked for."""

    def __init__(self, key: bytes) -> None:
        self._key, self._chunk, self._rest = key, 0, b""

    def __call__(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        parts, missing = [self._rest[:count]], count - len(self._rest)
        self._rest = self._rest[count:]
        while missing > 0:
            number = self._chunk.to_bytes(8, "little")
            chunk = hashlib.shake_256(self._key + number).digest(_CHUNK)
            self._chunk += 1
            parts.append(chunk[:missing])
            self._rest = chunk[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)
