"""An atheris target for longer runs: whatever the bytes, only PacketErrors come out of the decoder,
the envelope and the validator.

    pip install atheris
    python fuzz/decode.py -max_total_time=3600 fuzz/corpus \\
        tests/vectors/v1/good tests/vectors/v1/bad

atheris is not a dependency and is imported only when this runs. `tests/property/test_fuzz.py` is
the seeded run of CI.
"""

import contextlib
import sys

from hyperfed.codec import PayloadCodec, pack, unpack
from hyperfed.errors import PacketError
from hyperfed.packets import CausalSemanticPack, EdgeDelta, PathPack, PolicyPack, Update
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.mutation import resign
from hyperfed.validator.validator import PacketValidator

FEDERATION = SmallFederation(clients=1)
KINDS = (Update, PathPack, EdgeDelta, PolicyPack, CausalSemanticPack)


def one_input(data: bytes) -> None:
    """One fuzzed input. Anything but a PacketError, or a second form of an accepted packet, is a
    finding.
    """
    with contextlib.suppress(PacketError):
        assert pack(unpack(data)) == data  # noqa: S101 - the property under test
    codec = PayloadCodec()
    for kind in KINDS:
        try:
            value = codec.decode(data, kind)
        except PacketError:
            continue
        assert codec.decode(codec.encode(value), kind) == value  # noqa: S101
    for signed in (data, resign(data, FEDERATION.keys[FEDERATION.clients[0]])):
        PacketValidator(FEDERATION.registry).validate(signed)


def main() -> None:
    """Hand over to atheris."""
    import atheris  # type: ignore[import-not-found, unused-ignore]

    atheris.instrument_all()
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
