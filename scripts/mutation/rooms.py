"""Which files are broken, room by room, and which tests stand for them."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
ROOMS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    # room: files below src/hyperfed, its own tests, the tests around it
    "validator": (
        ("validator/*.py",),
        ("tests/unit/validator",),
        (
            "tests/attack",
            "tests/unit/privacy/test_local_noise.py",
            "tests/unit/privacy/test_private_night.py",
        ),
    ),
    "crypto": (
        ("crypto/*.py",),
        ("tests/unit/crypto",),
        ("tests/unit/registry", "tests/unit/validator", "tests/attack"),
    ),
    "machine": (
        ("protocol/machine.py",),
        ("tests/unit/protocol/test_machine.py",),
        ("tests/property/test_protocol_model.py", "tests/fault/test_crash_anywhere.py"),
    ),
    "ledger": (
        (
            "protocol/ledger.py",
            "protocol/entries.py",
            "protocol/sequences.py",
            "dropbox/ledger_*.py",
            "dropbox/charges.py",
            "dropbox/claims.py",
        ),
        (
            "tests/unit/protocol/test_entries.py",
            "tests/unit/protocol/test_ledger.py",
            "tests/unit/protocol/test_sequences.py",
            "tests/unit/dropbox",
        ),
        (
            "tests/attack/test_alien_reserves.py",
            "tests/attack/test_annulled_entries.py",
            "tests/attack/test_sequences_of_a_stolen_key.py",
            "tests/attack/test_ways_back.py",
            "tests/unit/operations/test_audit.py",
            "tests/unit/coordinator",
        ),
    ),
    "registry": (
        ("registry/*.py", "dropbox/registries.py", "dropbox/annulling.py"),
        ("tests/unit/registry", "tests/unit/dropbox/test_annulling.py"),
        (
            "tests/unit/cli/test_cli_registry.py",
            "tests/unit/cli/test_cli_registry_mending.py",
            "tests/attack",
            "tests/unit/coordinator",
        ),
    ),
    "release": (
        ("privacy/release.py", "protocol/round_noise.py", "coordinator/release_marks.py"),
        (
            "tests/unit/privacy/test_release.py",
            "tests/unit/protocol/test_round_noise.py",
            "tests/unit/coordinator/test_release_marks.py",
        ),
        ("tests/unit/privacy", "tests/attack/test_one_noise_a_round.py"),
    ),
    "guard": (
        ("privacy/guard.py", "privacy/accountant.py"),
        (
            "tests/unit/privacy/test_guard.py",
            "tests/unit/privacy/test_privacy_guard.py",
            "tests/unit/privacy/test_accountant.py",
        ),
        ("tests/unit/privacy",),
    ),
    "receipts": (
        ("protocol/receipt*.py", "protocol/merkle.py", "coordinator/receipts.py"),
        ("tests/unit/coordinator/test_receipts.py", "tests/unit/protocol"),
        ("tests/unit/client", "tests/unit/operations", "tests/attack"),
    ),
    "audit": (
        ("operations/audit/*.py",),
        (
            "tests/attack/test_counted_though_inadmissible.py",
            "tests/attack/test_updates_left_out.py",
            "tests/unit/operations/test_audit.py",
            "tests/unit/operations/test_audit_forged.py",
            "tests/unit/operations/test_audit_forged_ends.py",
            "tests/unit/operations/test_audit_forged_sums.py",
            "tests/unit/operations/test_audit_formula.py",
            "tests/unit/privacy/test_audited_statement.py",
            "tests/unit/protocol/test_receipt_pages_audited.py",
        ),
        (
            "tests/attack/test_annulled_entries.py",
            "tests/attack/test_effects_secure_rounds.py",
            "tests/attack/test_noised_secure_rounds.py",
            "tests/attack/test_plans_that_follow_from_no_registry.py",
            "tests/attack/test_registry_freshness.py",
            "tests/attack/test_secure_rounds_audited.py",
            "tests/attack/test_sequences_of_a_stolen_key.py",
            "tests/attack/test_ways_back.py",
            "tests/unit/coordinator/test_private_sums_round.py",
            "tests/unit/coordinator/test_secure_round.py",
            "tests/unit/coordinator/test_summed_round.py",
            "tests/unit/operations/test_retention.py",
            "tests/unit/protocol",
        ),
    ),
    "client": (
        (
            "client/session.py",
            "client/signing.py",
            "client/memory.py",
            "client/checks.py",
            "client/own_slots.py",
            "client/sharing.py",
            "client/noised.py",
            "client/deltas.py",
            "client/standing.py",
        ),
        (
            "tests/unit/client",
            "tests/unit/coordinator/test_secure_round.py",
            "tests/unit/privacy/test_local_noise.py",
        ),
        ("tests/attack", "tests/unit/cli/test_cli_standing.py"),
    ),
}


def files_of(room: str) -> list[Path]:
    """Return the files of a room, sorted."""
    return sorted({p for glob in ROOMS[room][0] for p in (SOURCE / "hyperfed").glob(glob)})
