"""Create automations, or replace them by name, from deployments/automations.yaml.

Automations are what the server does by itself.

1. `notify` becomes a send-notification action for each saved notification block. Without a block
   the automation is there, but off.
2. Where nobody says whom to notify, the automations go on notifying whom they notify now, so that
   an upgrade does not silence them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import Automation, AutomationCore

from hyperfed.errors import ConfigError

__all__ = ["automation_of", "create_automations", "read_automations"]


def read_automations(path: Path) -> list[dict[str, Any]]:
    """Return the automations as they are written in the file."""
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["automations"]
    return found


def automation_of(written: dict[str, Any], notify: Sequence[str]) -> AutomationCore:
    """Return an automation as Prefect takes it.

    `notify` has the ids of the notification blocks' documents.
    """
    made = {name: value for name, value in written.items() if name != "notify"}
    if "notify" in written:
        sends = [
            {"type": "send-notification", "block_document_id": block, **written["notify"]}
            for block in notify
        ]
        made |= {"actions": sends or [{"type": "do-nothing"}], "enabled": bool(notify)}
    return AutomationCore.model_validate(made)


def create_automations(path: Path, *, notify: Sequence[str] | None) -> dict[str, bool]:
    """Create the automations, and return for each name whether it is on.

    `notify` names blocks as "block-type-slug/block-name"; None leaves them as they are. Raises
    ConfigError where there is no such block.
    """
    out: dict[str, bool] = {}
    with get_client(sync_client=True) as client:
        blocks = None if notify is None else [_block_id(client, name) for name in notify]
        for written in read_automations(path):
            known = client.read_automations_by_name(written["name"])
            automation = automation_of(written, _told(known) if blocks is None else blocks)
            for old in known:
                client.delete_automation(old.id)
            client.create_automation(automation)
            out[automation.name] = automation.enabled
    return out


def _told(automations: Sequence[Automation]) -> list[str]:
    """Return the blocks that these automations notify now, where they are on."""
    actions = [
        action for automation in automations if automation.enabled for action in automation.actions
    ]
    return list(
        dict.fromkeys(
            str(action.block_document_id)
            for action in actions
            if isinstance(action, SendNotification)
        )
    )


def _block_id(client: SyncPrefectClient, notify: str) -> str:
    slug, _, name = notify.partition("/")
    try:
        return str(client.read_block_document_by_name(name, slug).id)
    except Exception as exc:
        raise ConfigError(
            "there is no such notification block",
            subject=notify,
            remedy="Make one with `hyperfed service notify`, or in the UI under Blocks, and "
            "name it type/name",
        ) from exc
