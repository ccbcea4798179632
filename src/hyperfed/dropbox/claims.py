"""Compare what a sender has seen of the ledger and the registry with what is here.

1. A sender that has seen an entry, or a version, which is not here has seen another drop-box, or
   says so (R-73, R-121). What somebody with the key has signed proves it: the round stops then, and
   the evidence names both.
2. A claim without a proof proves nothing. Its update is refused, and the round goes on: one client
   cannot stop rounds with an invented digest (R-120).
3. A claim says nothing where its number is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hyperfed.crypto.envelope import Header, PacketType
from hyperfed.crypto.proofs import proven
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import HyperfedError, LedgerError, RefusedError, RegistryError
from hyperfed.protocol.ledger import Chained, check_claim
from hyperfed.protocol.objects import Plan

__all__ = [
    "Claim",
    "check_claims",
    "check_holds_commit",
    "check_seen",
    "is_of_abandoned_branch",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Holds what an update's header says that its sender has seen."""

    ledger_sequence: int = 0
    """Number of the newest ledger entry, 0 for none."""
    ledger_digest: bytes = b""
    """Digest of that entry."""
    ledger_proof: bytes = b""
    """Its proof, or nothing."""
    registry_version: int = 0
    """Number of the newest registry version, 0 where it does not say."""
    registry_digest: bytes = b""
    """Digest of that version."""
    registry_proof: bytes = b""
    """Its proof, or nothing."""

    @classmethod
    def of(cls, header: Header) -> "Claim":
        """Return what a header claims."""
        return cls(**{name: getattr(header, name) for name in cls.__slots__})


def check_claims(reader: DropBoxReader, claim: Claim, *, by: str) -> None:
    """Check what a sender has seen against ledger and registry, which are read again in doubt.

    by: the sender and its object, for the error. Raises LedgerError or RegistryError where it
    proves that something is missing here, RefusedError where it only says so.
    """
    _check_ledger(reader, claim, by)
    _check_registry(reader, claim, by)


def check_seen(
    reader: DropBoxReader, ledger: Sequence[Chained], *, sequence: int, digest: bytes, by: str
) -> None:
    """Check that a ledger holds the entry that somebody has seen (R-73).

    An entry of a branch that the registry's roots have abandoned need not be there (R-124). Raises
    LedgerError.
    """
    if any((a.sequence, a.digest) == (sequence, digest) for a in reader.registry.annulled):
        return
    check_claim(ledger, sequence=sequence, digest=digest, by=by)


def _check_ledger(reader: DropBoxReader, claim: Claim, by: str) -> None:
    sequence, digest = claim.ledger_sequence, claim.ledger_digest
    try:
        check_seen(reader, reader.verified_entries(), sequence=sequence, digest=digest, by=by)
    except LedgerError:
        try:
            check_seen(reader, reader.ledger(), sequence=sequence, digest=digest, by=by)
        except LedgerError as error:
            if _proves(
                claim.ledger_proof,
                PacketType.LEDGER,
                (digest, sequence, reader.registry.federation),
                reader,
            ):
                raise
            raise _unproven(error, by) from error


def _check_registry(reader: DropBoxReader, claim: Claim, by: str) -> None:
    version, digest = claim.registry_version, claim.registry_digest
    if version == 0:
        return
    if version > reader.registry.version:
        reader.refresh_registry()
    newest = reader.registry.version
    if version <= newest and reader.registry_version(version)[1] == digest:
        return
    error = RegistryError(
        f"the newest version is {newest}, {by} has seen version {version}"
        if version > newest
        else f"version {version} is not the one that {by} has seen",
        subject="registry",
        rule="R-121",
        remedy="The bucket was rolled back, or shows two registries: restore it from its versions, "
        "and tell the roots. Nothing was reserved",
    )
    expected = (digest, version, reader.registry.federation)
    if _proves(claim.registry_proof, PacketType.REGISTRY, expected, reader):
        raise error
    raise _unproven(error, by)


def _proves(
    proof: bytes, type_: PacketType, expected: tuple[bytes, int, str], reader: DropBoxReader
) -> bool:
    """Return whether a proof shows the digest, sequence and federation that are expected."""
    registry = reader.registry
    roots = {root.key_id: root.signing for root in registry.roots}
    of_registry = type_ is PacketType.REGISTRY
    shown = proven(
        proof,
        expect=type_,
        key_of=roots.get if of_registry else registry.coordinator_key,
        threshold=registry.threshold if of_registry else 1,
    )
    return shown is not None and (shown[0], shown[1].sequence, shown[1].federation) == expected


def _unproven(error: HyperfedError, by: str) -> RefusedError:
    return RefusedError(
        f"claims to have seen what is not here, and does not prove it: {error.problem}",
        subject=by,
        rule="R-120",
        remedy="If your hyperfed is older, update it. If it is not, the bucket was rolled back: "
        "tell the operator",
    )


def check_holds_commit(reader: DropBoxReader, plan: Stored[Plan]) -> None:
    """Raise LedgerError where the ledger lacks the commit that the plan names (R-73).

    That commit was the newest when the round was opened.
    """
    newest = plan.value.newest_commit
    if newest and not any(c.digest == newest for c in reader.verified_entries()):
        raise LedgerError(
            f"does not hold the commit of round {plan.value.newest_commit_round}, which "
            f"{plan.key} names",
            subject="ledger",
            rule="R-73",
            remedy="Its tail was cut off: restore the bucket from its versions. Nothing was "
            "written",
        )


def is_of_abandoned_branch(reader: DropBoxReader, plan: Plan) -> bool:
    """Return whether a plan builds on an entry of a branch that the roots have abandoned (R-152).

    What the roots have annulled in this ledger is not of another branch.
    """
    newest = plan.newest_commit
    return any(a.digest == newest for a in reader.registry.annulled) and not any(
        c.digest == newest for c in reader.verified_entries()
    )
