"""Define `StrictBlock`, a block that refuses what it has no field for.

Prefect keeps a field that a block does not have, and says nothing. A misspelt one would leave the
default in force, and a plan would be signed by it.
"""

from typing import TYPE_CHECKING, Self

from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient
from pydantic import model_validator

__all__ = ["StrictBlock"]


class StrictBlock(Block):
    """Takes only fields that it knows."""

    if TYPE_CHECKING:  # Prefect's own types say that it returns anything, or a coroutine

        @classmethod
        def load(
            cls, name: str, validate: bool = True, client: PrefectClient | None = None
        ) -> Self:
            """Return the saved block of a name."""

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        unknown = sorted(self.model_extra or {})
        if unknown:
            raise ValueError(
                f"{', '.join(unknown)}: no such field in {self.get_block_type_slug()}. There are: "
                f"{', '.join(type(self).model_fields)}"
            )
        return self
