"""`DropBox`: which object store a federation meets in, and whose registry is to be found there.

Every field has a default, so that a document saved by an older version still loads. Secrets stay in Prefect's encrypted store; prefer the
environment or a credentials file on the worker, and leave them empty here.
"""

from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

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
    access_key_id: str | None = Field(default=None, description="Empty: the worker's environment or profile decides")
    secret_access_key: SecretStr | None = Field(default=None, description="Empty: the worker's environment or profile decides")
    fingerprint: str = Field(default="", description="The registry's root fingerprint, compared out of band; 64 hexadecimal digits")

    def open(self) -> ObjectStore:
        """The store, patient with passing faults. Raises ConfigError for a URL that names none."""
        secret = self.secret_access_key.get_secret_value() if self.secret_access_key else None
        return open_store(self.url, endpoint=self.endpoint, region=self.region, access_key=self.access_key_id, secret_key=secret)
