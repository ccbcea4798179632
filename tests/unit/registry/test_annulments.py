"""What an annulment may say."""

import pytest

from hyperfed.errors import RegistryError
from hyperfed.registry.annulments import Annulment, check_annulled

FIRST = Annulment(sequence=1, digest=b"\1" * 32, entry=b"e" * (16 << 10))


@pytest.mark.parametrize(
    ("sequence", "digest", "entry"),
    [(0, b"\1" * 32, b""), (1, b"\1" * 31, b""), (1, b"\1" * 32, b"e" * ((16 << 10) + 1))],
)
def test_an_annulment_names_an_entry(sequence: int, digest: bytes, entry: bytes) -> None:
    with pytest.raises(RegistryError) as caught:
        Annulment(sequence=sequence, digest=digest, entry=entry)
    assert caught.value.rule == "R-123"


def test_annulments_and_sequences_ascend_each_once() -> None:
    Annulment(sequence=1, digest=b"\1" * 32, entry=FIRST.entry)  # as large as an entry may be
    second = Annulment(sequence=1, digest=b"\2" * 32)
    check_annulled((FIRST, second), (("site-01", 1), ("site-02", 1)))
    many = tuple(Annulment(sequence=n, digest=b"\1" * 32) for n in range(1, 4098))
    check_annulled(many[:-1], ())
    for annulled, least in (
        ((second, FIRST), ()),
        ((FIRST, FIRST), ()),
        ((), (("site-02", 1), ("site-01", 1))),
        ((), (("site-01", 1), ("site-01", 2))),
        (many, ()),
    ):
        with pytest.raises(RegistryError) as caught:
            check_annulled(annulled, least)
        assert caught.value.rule == "R-123"
