"""`hyperfed audit`: re-reads the drop-box and says what was checked, or which object is the first broken one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.invocation import Invocation, load_key, output_options, pass_invocation, store_options
from hyperfed.cli.output import show_pairs, show_table

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.audit import AuditReport

__all__ = ["audit"]


@click.command()
@click.option("--open-with", type=click.Path(path_type=Path), help="A coordinator's or an auditor's key file; by default [coordinator] key, if there is one.")
@store_options
@output_options
@pass_invocation
def audit(invocation: Invocation, open_with: Path | None) -> int:
    """Check every signature, chain and digest of the drop-box, and, with a key that opens the updates, compute every result without noise again.

    Needs nothing but read access and the root fingerprint. Exits with 1 where something does not hold, and names the first broken object.

    \b
      hyperfed audit
      hyperfed audit --open-with auditor.key
    """
    from hyperfed.audit import audit as check

    path = open_with or invocation.settings.file("coordinator.key")
    keys = load_key(path) if path is not None else None
    invocation.warn_unless_compared()
    with invocation.out.step("Reading and checking every object"):
        report = check(invocation.store, fingerprint=invocation.settings.fingerprint, keys=keys)
    first = report.findings[0] if report.findings else None
    document: dict[str, Any] = {
        "federation": report.federation,
        "fingerprint_compared": invocation.settings.fingerprint is not None,
        "checked": report.checked,
        "first_broken": report.first_broken,
        "findings": report.findings,
        "remarks": report.remarks,
    }
    if first is not None:
        document["error"] = {"kind": "AuditFinding", "problem": first.problem, "subject": first.key, "rule": first.rule, "remedy": first.remedy}
    return invocation.out.finish(document, lambda to: _show(to, report), code=0 if report.ok else 1)


def _show(to: "Console", report: "AuditReport") -> None:
    show_table(to, f"Held, in federation {report.federation or '?'}", ("checked", "count"), report.checked.items(), right=("count",))
    for remark in report.remarks:
        show_pairs(to, {"Remark": remark})
    if report.ok:
        show_pairs(to, {"Audit": "everything that was checked holds"})
        return
    show_table(
        to, f"Broken: {len(report.findings)}", ("object", "problem", "rule", "what to do"), ((f.key, f.problem, f.rule, f.remedy) for f in report.findings)
    )
    show_pairs(to, {"First broken": report.first_broken})
