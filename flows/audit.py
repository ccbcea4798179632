"""Audit the drop-box: check every signature, chain and digest, and compute every result again.

The run fails where something does not hold.
"""

from datetime import UTC, datetime
from typing import Any

from prefect import State, flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from blocks import CoordinatorKeys, DropBox
from hyperfed.operations.audit import audit as check
from hyperfed.report.wording import markdown_text, visible, visible_rows

__all__ = ["audit"]


@task(name="audit", task_run_name="audit {drop_box}", cache_policy=NO_CACHE)
def check_drop_box(drop_box: str, coordinator_keys: str, now: datetime) -> dict[str, Any]:
    """Return what held, as counts, and what did not."""
    box = DropBox.load(drop_box)
    keys = CoordinatorKeys.load(coordinator_keys).load_keys()
    found = check(box.open(), box.fingerprint or None, keys, now=now)
    rows = [
        {"object": f.key, "problem": f.problem, "rule": f.rule, "what to do": f.remedy}
        for f in found.findings
    ]
    rows += [
        {"object": "", "problem": remark, "rule": "remark", "what to do": ""}
        for remark in found.remarks
    ]
    rows += [
        {"object": kind, "problem": f"{count} hold", "rule": "", "what to do": ""}
        for kind, count in found.checked.items()
    ]
    create_table_artifact(
        key=f"audit-{drop_box}",
        table=visible_rows(rows),
        description=markdown_text(
            f"Audit of federation {found.federation}: {'holds' if found.ok else 'BROKEN'}"
        ),
    )
    get_run_logger().info(
        "stage=audit federation=%s findings=%d checked=%d",
        found.federation,
        len(found.findings),
        sum(found.checked.values()),
    )
    return {
        "federation": found.federation,
        "ok": found.ok,
        "first_broken": found.first_broken,
        "findings": len(found.findings),
        "checked": found.checked,
    }


@flow(name="audit", flow_run_name="audit {drop_box}", persist_result=False)
def audit(drop_box: str = "hyperfed", coordinator_keys: str = "hyperfed") -> State[dict[str, Any]]:
    """Audit the drop-box. The run fails where an object is broken, and names the first one.

    Args:
        drop_box: Name of the Hyperfed Drop-Box block.
        coordinator_keys: Name of the Hyperfed Coordinator Keys block, whose key opens the sealed
            updates.
    """
    found = check_drop_box(drop_box, coordinator_keys, datetime.now(UTC))
    if not found["ok"]:
        return Failed(
            message=f"{found['findings']} objects are broken, the first is "
            f"{visible(str(found['first_broken']))}",
            data=found,
        )
    return Completed(
        message=f"everything holds: {sum(found['checked'].values())} checks in federation "
        f"{found['federation']}",
        data=found,
    )
