"""A quarter of a million hostile packets: only PacketErrors come out, nothing unsigned is admitted,
and memory stays under twice the cap.

The same mutants in every run (`hyperfed.testing.mutation`); a failure names the number that repeats
it.
"""

import contextlib
import importlib.util
import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from hyperfed.codec import PayloadCodec, pack, unpack
from hyperfed.config import Limits
from hyperfed.errors import PacketError
from hyperfed.packets import CausalSemanticPack, Claims, EdgeDelta, PathPack, PolicyPack, Update
from hyperfed.protocol.entries import (
    LedgerEntry,
)
from hyperfed.protocol.object_keys import Keys, page_of
from hyperfed.protocol.objects import (
    Freeze,
    Plan,
    RoundState,
)
from hyperfed.protocol.receipt_objects import (
    Receipt,
    ReceiptPage,
)
from hyperfed.registry.registry import Registry
from hyperfed.testing.federation import SmallFederation
from hyperfed.testing.mutation import mutant, resign
from hyperfed.validator.admission import RoundContext
from hyperfed.validator.validator import PacketValidator
from tests.unit.codec.documents import PACKETS

DOCUMENTS, ENVELOPES, OBJECTS = 180_000, 40_000, 30_000
CAP = 1 << 20
LIMITS = Limits(max_update_bytes=CAP, max_raw_bytes=CAP, max_values=CAP >> 8)
KINDS = {
    kind.__name__: kind
    for kind in (Update, PathPack, EdgeDelta, PolicyPack, CausalSemanticPack, Claims)
}


def documents() -> list[bytes]:
    packets = [p for p in PACKETS.values() if type(p).__name__ in KINDS]
    return [PayloadCodec(compression=c).encode(p) for p in packets for c in (None, "zstd")]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_only_packet_errors_come_out_of_the_decoder() -> None:
    """Also: what is accepted uncompressed is the one form of what it says."""
    seeds, codec, plain = documents(), PayloadCodec(limits=LIMITS), PayloadCodec()
    outcomes: Counter[str] = Counter()
    for number in range(DOCUMENTS):
        data = mutant(seeds, number)
        try:
            kind = KINDS.get(codec.kind_of(data), Update)
            value = codec.decode(data, kind)
        except PacketError as error:
            outcomes[type(error).__name__] += 1
            continue
        except Exception as error:
            pytest.fail(f"mutant {number}: {error!r}")
        outcomes["accepted"] += 1
        again = plain.encode(value)
        assert plain.decode(again, kind) == value, f"mutant {number}"
        compressed = bool(unpack(data)[2])
        assert compressed or again == data, f"mutant {number} is a second form of one packet"
    assert (
        min(outcomes["SchemaError"], outcomes["BoundsError"], outcomes["accepted"])
        > DOCUMENTS // 200
    ), outcomes


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_no_mutant_of_a_signed_packet_is_admitted_unless_its_own_sender_signed_it() -> None:
    fed = SmallFederation(limits=LIMITS)
    fed.open(1)
    context = RoundContext(
        registry=fed.registry,
        plan=fed.plan(1),
        now=fed.night(1),
        key_pair=fed.coordinator,
        limits=LIMITS,
    )
    sender, mine = "site-01", fed.keys["site-01"]
    seeds = [
        fed.envelope(sender, sealed=sealed, compression=c)
        for sealed in (True, False)
        for c in (None, "zstd")
    ]
    key = Keys.inbox(1, sender, 0)
    outcomes: Counter[str] = Counter()
    for number in range(ENVELOPES):
        data = mutant(seeds, number)
        signed = number % 3 == 0
        if signed:
            data = resign(data, mine)
        try:
            admitted = PacketValidator(context=context).verify(data, key=key)
        except PacketError as error:
            outcomes[error.rule] += 1
            continue
        except Exception as error:
            pytest.fail(f"mutant {number}: {error!r}")
        outcomes["admitted"] += 1
        assert signed or data in seeds, (
            f"mutant {number} was admitted without its sender's signature"
        )
        assert admitted.client == sender
    assert {"R-10", "R-11", "R-31", "R-33", "R-81", "R-82", "R-86", "R-87"} <= outcomes.keys(), (
        outcomes
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_only_packet_errors_come_out_of_the_coordinators_objects() -> None:
    fed, large = (
        SmallFederation(clients=2),
        SmallFederation(clients=2, limits=Limits(own_receipts=1)),
    )
    fed.play(1)
    large.play(1)
    reader, codec = fed.reader(), PayloadCodec(limits=LIMITS)
    plan, freeze, state, page = (
        reader.plan(1),
        reader.freeze(1),
        reader.state(1),
        large.reader().receipt_page(1, page_of("site-01")),
    )
    assert page is not None
    assert plan is not None
    assert freeze is not None
    assert state is not None
    values = {
        Plan: plan.value,
        Freeze: freeze.value,
        RoundState: state.value,
        Receipt: fed.receipt("site-01"),
        ReceiptPage: page.value,
        LedgerEntry: reader.ledger()[0].entry,
        Registry: fed.registry,
    }
    kinds = list(values)
    seeds = [PayloadCodec().encode(v) for v in values.values()]
    for number in range(OBJECTS):
        which = number % len(kinds)
        data = mutant([seeds[which]], number)
        try:
            codec.decode(data, kinds[which])
        except PacketError:
            continue
        except Exception as error:
            pytest.fail(f"mutant {number} of a {kinds[which].__name__}: {error!r}")


def test_memory_stays_under_twice_the_cap() -> None:
    """Traced over a thousand mutants of packets near the cap, compressed ones among them. The
    mutant itself is counted.
    """
    paths = [PathPack(i, i + 1, 1, i / 7, 0.5, 0.5) for i in range(12_000)]
    update = Update.from_paths(paths, measured=range(12_001))
    seeds = [PayloadCodec(compression=c, limits=LIMITS).encode(update) for c in (None, "zstd")]
    assert CAP // 2 < len(seeds[0]) < CAP
    codec, worst = PayloadCodec(limits=LIMITS), 0
    tracemalloc.start()
    try:
        for number in range(1000):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            data = mutant(seeds, number)
            with contextlib.suppress(PacketError):
                codec.decode(data, Update)
            worst = max(worst, tracemalloc.get_traced_memory()[1] - before)
            del data
    finally:
        tracemalloc.stop()
    assert worst < 2 * CAP, f"{worst / CAP:.2f} times the cap"


def test_mutants_are_repeatable_and_differ() -> None:
    seeds = documents()
    made = [mutant(seeds, number) for number in range(2000)]
    assert made == [mutant(seeds, number) for number in range(2000)]
    assert len(set(made)) > 1900
    assert sum(m in seeds for m in made) < 60


def load_target() -> ModuleType:
    path = Path(__file__).parents[2] / "fuzz" / "decode.py"
    spec = importlib.util.spec_from_file_location("fuzz_decode", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_atheris_target_needs_no_atheris_to_be_read_and_finds_nothing_in_the_seeds() -> None:
    target = load_target()
    assert "atheris" not in sys.modules
    seeds = documents()
    for data in [b"", *seeds, *(mutant(seeds, n) for n in range(300)), pack([1])]:
        target.one_input(data)
