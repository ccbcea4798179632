"""Define a client's numbers under masks, which it sends where helpers open the sum."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from hyperfed.errors import BoundsError
from hyperfed.tables.columns import as_column

__all__ = ["MaskedNumbers"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskedNumbers:
    """Holds a client's numbers plus the masks of its seeds.

    Raises BoundsError where it holds no numbers.
    """

    # without an annotation, which would make it a field
    COLUMNS = MappingProxyType({"values": np.uint64})

    values: npt.NDArray[np.uint64]
    """uint64[length]: numbers modulo 2^64, which look like noise."""

    def __post_init__(self) -> None:
        values = as_column(self.values, np.uint64, "MaskedNumbers.values").view()
        if not len(values):
            raise BoundsError("holds no numbers", subject="MaskedNumbers")
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    @property
    def nbytes(self) -> int:
        """The number of bytes of its column."""
        return int(self.values.nbytes)

    def __eq__(self, other: object) -> bool:
        return (
            np.array_equal(self.values, other.values)
            if isinstance(other, MaskedNumbers)
            else NotImplemented
        )

    __hash__ = None  # type: ignore[assignment]
