"""Define the block `DropBox`: the object store that a federation meets in, and its fingerprint.

Every field has a default, so that a document saved by an older version still loads. The block holds
no secret: keys stay in files on the worker, or in its environment, and the block holds the path.
"""

from typing import ClassVar

from pydantic import Field

from blocks.bounds import bounds
from blocks.strict import StrictBlock
from hyperfed.storage.opening import open_store
from hyperfed.storage.private_files import from_home
from hyperfed.storage.store import ObjectStore

__all__ = ["DropBox"]


class DropBox(StrictBlock):
    """Says where a federation meets: a bucket that honours If-None-Match, a folder, or a relay."""

    _block_type_name: ClassVar[str] = "Hyperfed Drop-Box"
    _block_type_slug: ClassVar[str] = "hyperfed-drop-box"

    url: str = Field(
        default="s3://hyperfed",
        description="s3://bucket/prefix, file:///folder for a mounted share, or grpc://host:port "
        "for a relay",
    )
    endpoint: str | None = Field(default=None, description="The S3 endpoint's URL; empty for AWS")
    region: str | None = Field(
        default=None, description="The S3 region; empty for the endpoint's default"
    )
    addressing: str | None = Field(
        default=None,
        description='Where the bucket\'s name stands: "path" (the default), "virtual" or "auto"',
    )
    ca_file: str | None = Field(
        default=None,
        description="Path on the worker of certificates to trust instead of the system's",
    )
    access_key_file: str | None = Field(
        default=None,
        description="Path on the worker of a file with access_key and secret_key (mode 0600), or "
        "for a relay of what `hyperfed relay access` made; empty: its environment",
    )
    clients_by_link: list[str] = Field(
        default_factory=list,
        description="Clients without a cloud account: opening a round gives each of them new "
        "presigned links (S3 only)",
    )
    fingerprint: str = Field(
        default="",
        description="The registry's root fingerprint, compared out of band; 64 hexadecimal digits",
    )

    def open(self) -> ObjectStore:
        """Return the store, which repeats calls after passing faults.

        Raises ConfigError for a URL that names none, and AccessDenied for another drop-box than the
        worker's own (R-140).
        """
        bounds().check_box(
            url=self.url,
            endpoint=self.endpoint,
            ca_file=self.ca_file,
            fingerprint=self.fingerprint,
        )
        file, certificates = (
            from_home(path, subject=f"block Drop-Box: {name}") if path else None
            for name, path in (
                ("access_key_file", self.access_key_file),
                ("ca_file", self.ca_file),
            )
        )
        return open_store(
            self.url,
            endpoint=self.endpoint,
            region=self.region,
            addressing=self.addressing,
            ca_file=certificates,
            access_key_file=file,
        )
