"""Define the Prefect blocks: where the store is, who speaks, and what the next plans will say."""

from blocks.coordinator_keys import CoordinatorKeys
from blocks.dropbox import DropBox
from blocks.federation_policy import FederationPolicy
from blocks.stage_results import StageResults

__all__ = ["CoordinatorKeys", "DropBox", "FederationPolicy", "StageResults"]
