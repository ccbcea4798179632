"""`CoordinatorKeys`: with which key the coordinator signs and opens. The key stays in its file on the worker; the block holds the path."""

from pathlib import Path
from typing import ClassVar

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from hyperfed.keys import KeyPair

__all__ = ["CoordinatorKeys"]


class CoordinatorKeys(Block):
    """Who: the coordinator's key file."""

    _block_type_name: ClassVar[str] = "Hyperfed Coordinator Keys"
    _block_type_slug: ClassVar[str] = "hyperfed-coordinator-keys"

    key_file: str = Field(default="coordinator.key", description="Path on the worker of the file that `hyperfed keygen` made (mode 0600)")
    passphrase: SecretStr | None = Field(default=None, description="Only where the key file has one")

    def load_keys(self) -> KeyPair:
        """The key pair. Raises ConfigError where the file is missing, readable by others, or locked with another passphrase."""
        return KeyPair.load(Path(self.key_file).expanduser(), self.passphrase.get_secret_value() if self.passphrase else None)
