"""What reads a class is put together from the class alone: not from how numpy builds a typing
alias, and not at the expense of a sender.
"""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hyperfed.codec import PayloadCodec, from_record, to_record
from hyperfed.codec.records import _reader
from hyperfed.crypto.envelope import Header
from hyperfed.errors import BoundsError, SchemaError
from hyperfed.hypergraph.evidence import Evidence
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.links.bundle import Links
from hyperfed.operations.retention import Pruned
from hyperfed.packets import CausalSemanticPack, EdgeDelta, PathPack, PolicyPack, Update
from hyperfed.protocol.entries import (
    LedgerEntry,
)
from hyperfed.protocol.objects import (
    Freeze,
    Plan,
    RoundState,
    Tombstone,
)
from hyperfed.protocol.receipt_objects import (
    Receipt,
    ReceiptPage,
)
from hyperfed.registry.enrolment import Enrolment
from hyperfed.registry.registry import Registry
from hyperfed.tables.hyperedges import HyperedgeTable
from hyperfed.tables.tables import DeltaTable, EdgeTable
from hyperfed.testing.federation import SmallFederation

KINDS = (
    *(
        Registry,
        Plan,
        Freeze,
        GlobalModel,
        Tombstone,
        RoundState,
        LedgerEntry,
        Receipt,
        ReceiptPage,
        Links,
        Pruned,
        Enrolment,
        Header,
    ),
    *(
        Update,
        PathPack,
        EdgeDelta,
        PolicyPack,
        CausalSemanticPack,
        EdgeTable,
        DeltaTable,
        HyperedgeTable,
    ),
)


class Alias:
    """An annotation that tells nothing of what it stands for, as an alias of numpy's may."""

    def __getitem__(self, scalar: Any) -> "Alias":
        return Alias()

    def __call__(self) -> None:
        """An annotation is something that could be called."""


Column: Any = Alias()


@dataclass(frozen=True, kw_only=True)
class Measured:
    COLUMNS = MappingProxyType({"variables": np.uint16})

    variables: Column[np.uint16]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Nested:
    inside: tuple[Measured, ...] = field(default_factory=tuple)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_everything_that_travels_can_be_read(kind: type) -> None:
    assert callable(_reader(kind))


def test_a_columns_dtype_comes_from_its_class_and_never_from_its_annotation() -> None:
    record = Nested(inside=(Measured(variables=np.array([1, 2], np.uint16)),))
    plain = to_record(record)
    (read,) = from_record(Nested, plain).inside
    assert (read.variables.dtype, read.variables.tolist()) == (np.uint16, [1, 2])
    plain["inside"][0]["variables"] = ["<u4", bytes(8)]
    with pytest.raises(SchemaError, match=r"column of uint32; uint16 belongs here") as caught:
        from_record(Nested, plain)
    assert caught.value.subject == "Nested.inside[0].variables"


def test_columns_have_the_dtypes_that_their_classes_name() -> None:
    federation = SmallFederation()
    federation.play(1)
    result = federation.reader().result(1)
    assert result is not None
    for record in (federation.update(), result.value, Evidence.empty()):
        kind: Any = type(record)
        assert {name: getattr(record, name).dtype for name in kind.COLUMNS} == kind.COLUMNS
        arrays = {
            name
            for name in kind.__dataclass_fields__
            if isinstance(getattr(record, name), np.ndarray)
        }
        assert arrays == kind.COLUMNS.keys()


@dataclass(frozen=True, kw_only=True)
class Unnamed:
    inside: tuple[int, ...] = ()
    variables: npt.NDArray[np.uint16] | None = None


@dataclass(frozen=True, kw_only=True)
class Misnamed:
    COLUMNS = MappingProxyType({"variable": np.uint16})

    number: int = 0


@dataclass(frozen=True, kw_only=True)
class Around:
    unnamed: Unnamed | None = None


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Unnamed, r"Unnamed\.variables: .* is no wire type"),
        (Misnamed, "Misnamed names columns that are no fields: variable"),
    ],
)
def test_a_class_that_cannot_be_read_is_our_mistake(kind: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        from_record(kind, {"anything": 1})


def test_it_is_found_before_a_record_is_looked_at() -> None:
    """Deep inside, where this record has nothing."""
    with pytest.raises(TypeError, match=r"Around\.unnamed: Unnamed\.variables: .* is no wire type"):
        from_record(Around, {"unnamed": None})


@dataclass(frozen=True)
class Checked:
    """What its checks raise."""

    number: int

    def __post_init__(self) -> None:
        raise {0: TypeError, 1: AttributeError, 2: ValueError, 3: OverflowError, 4: KeyError}[
            self.number
        ]("a check")


@pytest.mark.parametrize(
    ("number", "raised"),
    [(0, TypeError), (1, AttributeError), (2, BoundsError), (3, BoundsError), (4, BoundsError)],
)
def test_a_mistake_in_a_records_checks_is_not_the_senders(
    number: int, raised: type[Exception]
) -> None:
    """Types were looked at before: what then fails by type is ours; a value may well be the
    sender's.
    """
    with pytest.raises(raised) as caught:
        from_record(Checked, {"number": number})
    assert caught.type is raised


def test_a_document_of_a_class_that_cannot_be_read_is_refused_to_nobody() -> None:
    data = PayloadCodec().encode(Unnamed(variables=np.array([1], np.uint16)))
    with pytest.raises(TypeError, match="no wire type"):
        PayloadCodec().decode(data, Unnamed)
