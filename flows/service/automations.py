"""Automations from deployments/automations.yaml: what the server does by itself, created or replaced by name.

`notify` becomes a send-notification action to a saved notification block; without one the automation is there, but off.
"""

from pathlib import Path
from typing import Any

import yaml
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import AutomationCore

from hyperfed.errors import ConfigError

__all__ = ["automation_of", "create_automations", "read_automations"]


def read_automations(path: Path) -> list[dict[str, Any]]:
    """The automations as written."""
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["automations"]
    return found


def automation_of(written: dict[str, Any], notify_block: str | None) -> AutomationCore:
    """An automation as Prefect takes it. notify_block: the id of a notification block's document."""
    made = {name: value for name, value in written.items() if name != "notify"}
    if "notify" in written:
        send = {"type": "send-notification", "block_document_id": notify_block, **written["notify"]}
        made |= {"actions": [send if notify_block else {"type": "do-nothing"}], "enabled": notify_block is not None}
    return AutomationCore.model_validate(made)


def create_automations(path: Path, *, notify: str | None) -> dict[str, bool]:
    """Name -> whether it is on. notify: "block-type-slug/block-name". Raises ConfigError where there is no such block."""
    out: dict[str, bool] = {}
    with get_client(sync_client=True) as client:
        block = _block_id(client, notify) if notify else None
        for written in read_automations(path):
            automation = automation_of(written, block)
            for known in client.read_automations_by_name(automation.name):
                client.delete_automation(known.id)
            client.create_automation(automation)
            out[automation.name] = automation.enabled
    return out


def _block_id(client: SyncPrefectClient, notify: str) -> str:
    slug, _, name = notify.partition("/")
    try:
        return str(client.read_block_document_by_name(name, slug).id)
    except Exception as exc:
        raise ConfigError(
            "there is no such notification block",
            subject=notify,
            remedy="Make one in the UI under Blocks, such as Custom Webhook or Sendgrid Email, and name it type/name",
        ) from exc
