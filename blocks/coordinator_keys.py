"""Define the block `CoordinatorKeys`: the key with which the coordinator signs and opens.

The key stays in its file on the worker. The block holds the path.
"""

from typing import ClassVar

from pydantic import Field, SecretStr

from blocks.bounds import bounds
from blocks.strict import StrictBlock
from hyperfed.crypto.keys import KeyPair
from hyperfed.storage.private_files import from_home

__all__ = ["CoordinatorKeys"]


class CoordinatorKeys(StrictBlock):
    """Names the coordinator's key file, by which it signs."""

    _block_type_name: ClassVar[str] = "Hyperfed Coordinator Keys"
    _block_type_slug: ClassVar[str] = "hyperfed-coordinator-keys"

    key_file: str = Field(
        default="coordinator.key",
        description="Path on the worker of the file that `hyperfed keygen` made (mode 0600)",
    )
    passphrase: SecretStr | None = Field(
        default=None, description="Only where the key file has one"
    )

    def load_keys(self) -> KeyPair:
        """Return the key pair.

        Raises ConfigError where the file is missing, readable by others, or locked with another
        passphrase, and AccessDenied for another file than the worker's own (R-140).
        """
        path = from_home(self.key_file, subject="block Coordinator Keys: key_file")
        bounds().check_key_file(path)
        return KeyPair.load(
            path,
            self.passphrase.get_secret_value() if self.passphrase else None,
        )
