"""Read what roots are about to annul, and what an abandoned branch counted (R-123, R-124).

1. Only what a coordinator's key has signed for this federation is read. Everything else in a
   ledger's place was never an entry, and is no reason to annul one.
2. An entry of an abandoned branch is kept whole, because what it charged carries over. An entry
   that lies in this drop-box is charged there, and would be charged twice.
3. A commit of an abandoned branch names the state that holds its sequences. Nothing at or below
   them counts again, under the same key.

What it does not do: change a registry (the roots do, `hyperfed registry annul`).
"""

from collections.abc import Mapping, Sequence

from hyperfed.codec import PayloadCodec
from hyperfed.crypto.envelope import PacketType, Signed
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import LedgerError, ObjectNotFound
from hyperfed.protocol.entries import EntryKind, LedgerEntry
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import RoundState
from hyperfed.registry.annulments import Annulment

__all__ = ["abandoned_entry", "annulled_here", "sequences_of"]

_MAX_ENTRY_BYTES = 1 << 20


def annulled_here(reader: DropBoxReader, sequence: int) -> Annulment:
    """Return the annulment of an entry of the drop-box's own ledger.

    Raises ObjectNotFound, SignatureError or LedgerError.
    """
    key = Keys.ledger(sequence)
    try:
        data = reader.store.read(key, max_bytes=_MAX_ENTRY_BYTES)
    except ObjectNotFound as exc:
        raise ObjectNotFound(
            "the ledger has no such entry",
            subject=key,
            rule="R-123",
            remedy="Run `hyperfed audit`, which names the entries that break a rule",
        ) from exc
    signed = _signed(reader, data, key)
    if signed.header.sequence != sequence:
        raise LedgerError(
            f"holds entry {signed.header.sequence}",
            subject=key,
            rule="R-71",
            remedy="It was moved there: restore the bucket from its versions",
        )
    return Annulment(sequence=sequence, digest=signed.digest)


def abandoned_entry(reader: DropBoxReader, data: bytes, *, subject: str) -> Annulment:
    """Return the annulment of an entry of an abandoned branch, with its envelope.

    Raises SignatureError or LedgerError.
    """
    signed = _signed(reader, data, subject)
    sequence = signed.header.sequence
    try:
        in_ledger = annulled_here(reader, sequence).digest
    except ObjectNotFound:
        in_ledger = b""
    if signed.digest == in_ledger:
        raise LedgerError(
            f"is entry {sequence} of this drop-box's own ledger, and would be charged twice",
            subject=subject,
            rule="R-124",
            remedy=f"Name it by its number: `hyperfed registry annul {sequence}`",
        )
    return Annulment(sequence=sequence, digest=signed.digest, entry=data)


def sequences_of(
    reader: DropBoxReader, data: bytes, annulled: Sequence[Annulment], *, subject: str
) -> Mapping[str, int]:
    """Return the highest sequence that a state of an abandoned branch has counted, by key id.

    Where a state names no keys it is by client. Raises LedgerError where no abandoned commit among
    `annulled` names that state.
    """
    signed = reader.signed(data, key=subject, types=PacketType.STATE, round_id=None)
    if signed.digest not in _states(reader, annulled):
        raise LedgerError(
            "is not the state that a commit of the abandoned branch names",
            subject=subject,
            rule="R-124",
            remedy="Give that commit with --abandoned, and rounds/NUMBER/state of the same bucket",
        )
    state = PayloadCodec(limits=reader.limits.for_verified()).decode(signed.body, RoundState)
    sequences: dict[str, int] = {}
    for client in state.clients:
        named = dict(client.sequences) or {client.client: client.highest_sequence}
        sequences |= {name: sequence for name, sequence in named.items() if sequence > 0}
    return sequences


def _states(reader: DropBoxReader, annulled: Sequence[Annulment]) -> set[bytes]:
    """Return the digests of the states that the abandoned branches' commits name."""
    states = set()
    for annulment in annulled:
        if annulment.entry:
            signed = _signed(reader, annulment.entry, Keys.ledger(annulment.sequence))
            entry = PayloadCodec(limits=reader.limits).decode(signed.body, LedgerEntry)
            if entry.kind is EntryKind.COMMIT:
                states.add(entry.state)
    return states


def _signed(reader: DropBoxReader, data: bytes, subject: str) -> Signed:
    """Return the envelope of a ledger entry of this federation. Raises LedgerError."""
    signed = reader.signed(data, key=subject, types=PacketType.LEDGER, round_id=None)
    if signed.header.federation != reader.registry.federation:
        raise LedgerError(
            f"belongs to federation {signed.header.federation!r:.40}",
            subject=subject,
            rule="R-71",
            remedy="Annul nothing by it; it is another ledger's entry",
        )
    return signed
