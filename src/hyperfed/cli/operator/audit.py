"""Implement `hyperfed audit`: say what holds in the drop-box, or which object is broken first."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hyperfed.cli.heads import head_option, told_head
from hyperfed.cli.invocation import Invocation, load_key, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import FILE, output_options, store_options
from hyperfed.cli.output import show_pairs, show_table

if TYPE_CHECKING:
    from rich.console import Console

    from hyperfed.operations.audit import AuditReport

__all__ = ["audit"]


@click.command(cls=Command)
@click.option(
    "--open-with",
    type=FILE,
    help="A coordinator's or an auditor's key file; by default [coordinator] key, if there is one.",
)
@head_option
@store_options
@output_options
@pass_invocation
def audit(invocation: Invocation, open_with: Path | None, head_text: str | None) -> None:
    """Check every signature, chain and digest of the drop-box.

    With a key that opens the updates, every result without noise is computed again. The command
    needs only read access and the root fingerprint. If something does not hold, the exit code is 1
    and the answer names the first broken object. The answer shows where the ledger ends, for
    comparison with what others see (--head).

    \b
      hyperfed audit
      hyperfed audit --open-with auditor.key
    """
    from hyperfed.operations.audit import audit as check

    other = told_head(head_text)
    path = open_with or invocation.settings.file("coordinator.key")
    key_pair = load_key(path) if path is not None else None
    invocation.warn_unless_compared()
    with invocation.out.step("Reading and checking every object"):
        report = check(
            invocation.store,
            fingerprint=invocation.settings.fingerprint,
            key_pair=key_pair,
            now=invocation.now,
            other=other,
        )
    first = report.findings[0] if report.findings else None
    document: dict[str, Any] = {
        "federation": report.federation,
        "fingerprint_compared": invocation.settings.fingerprint is not None,
        "checked": report.checked,
        "first_broken": report.first_broken,
        "findings": report.findings,
        "remarks": report.remarks,
        "ledger_head": {
            "sequence": report.head.sequence,
            "digest": report.head.digest,
            "shown": str(report.head),
        },
    }
    if first is not None:
        document["error"] = {
            "kind": "AuditFinding",
            "problem": first.problem,
            "subject": first.key,
            "rule": first.rule,
            "remedy": first.remedy,
        }
    invocation.out.finish(document, lambda to: _show(to, report), code=0 if report.ok else 1)


def _show(to: "Console", report: "AuditReport") -> None:
    show_table(
        to,
        f"Held, in federation {report.federation or '?'}",
        ("checked", "count"),
        report.checked.items(),
        right=("count",),
    )
    show_pairs(to, {"Ledger's head": str(report.head)})
    for remark in report.remarks:
        show_pairs(to, {"Remark": remark})
    if report.ok:
        show_pairs(to, {"Audit": "everything that was checked holds"})
        return
    show_table(
        to,
        f"Broken: {len(report.findings)}",
        ("object", "problem", "rule", "what to do"),
        ((f.key, f.problem, f.rule, f.remedy) for f in report.findings),
    )
    show_pairs(to, {"First broken": report.first_broken})
