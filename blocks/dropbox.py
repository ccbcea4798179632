"""`DropBox`: which object store a federation meets in, and whose registry is to be found there.

Every field has a default, so that a document saved by an older version still loads. It holds no secret: keys stay in files on the worker,
or in its environment, and the block holds the path.
"""

from pathlib import Path
from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field

from hyperfed.store import ObjectStore
from hyperfed.stores import open_store

__all__ = ["DropBox"]


class DropBox(Block):
    """Where: an S3 bucket (any that honours If-None-Match) or a mounted folder."""

    _block_type_name: ClassVar[str] = "Hyperfed Drop-Box"
    _block_type_slug: ClassVar[str] = "hyperfed-drop-box"

    url: str = Field(default="s3://hyperfed", description="s3://bucket/prefix, or file:///folder for a mounted share")
    endpoint: str | None = Field(default=None, description="The S3 endpoint's URL; empty for AWS")
    region: str | None = Field(default=None, description="The S3 region; empty for the endpoint's default")
    access_key_file: str | None = Field(
        default=None, description="Path on the worker of a file with access_key and secret_key (mode 0600); empty: its environment"
    )
    clients_by_link: list[str] = Field(
        default_factory=list, description="Clients without a cloud account: opening a round gives each of them new presigned links (S3 only)"
    )
    fingerprint: str = Field(default="", description="The registry's root fingerprint, compared out of band; 64 hexadecimal digits")

    def open(self) -> ObjectStore:
        """The store, patient with passing faults. Raises ConfigError for a URL that names none."""
        file = Path(self.access_key_file).expanduser() if self.access_key_file else None
        return open_store(self.url, endpoint=self.endpoint, region=self.region, access_key_file=file)
