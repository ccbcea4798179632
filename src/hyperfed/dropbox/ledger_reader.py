"""Read a drop-box's ledger once, and verify every entry, the chain and the grammar.

1. Several entries are read at once, and only those that are new. A hole is not an end (R-71): until
   an end was reached once, one entry beyond it is asked for. So a read that failed is not taken for
   a shorter ledger by the next one.
2. The entries in a copy on this machine are verified like those in the store. Where the store's
   ledger does not go through the newest of them, one of the two was changed: that is an error, and
   the copy stays as it is (R-75, R-113).
3. An entry's header must name that entry, and its key must have been the coordinator's in the
   entry's round (R-81). That round must have begun (R-115).
4. What the registry's roots have annulled is read as what is left of it (R-123). A copy whose
   newest entry they have annulled, and which the store does not have, belongs to an abandoned
   branch (R-124).
"""

from collections.abc import Sequence
from typing import Protocol

from hyperfed.codec import PayloadCodec
from hyperfed.config import Limits
from hyperfed.crypto.envelope import PacketType, Signed
from hyperfed.crypto.proofs import proof_of
from hyperfed.dropbox.ledger_copy import LedgerCopy
from hyperfed.errors import (
    RESTORE_BUCKET,
    LedgerError,
    ObjectNotFound,
    PacketError,
    SignatureError,
    TransportError,
)
from hyperfed.protocol.entries import (
    LedgerEntry,
)
from hyperfed.protocol.ledger import Book, Chained
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.registry import Registry
from hyperfed.storage.store import ObjectStore

__all__ = ["LedgerReader"]

_ENTRIES_AT_ONCE = 64
_MAX_ENTRY_BYTES = 1 << 20


class _AbandonedCopyError(Exception):
    """A kept copy is of a branch that the registry's roots have abandoned."""


class Verifier(Protocol):
    """Verifies envelopes: a `DropBoxReader` does."""

    @property
    def registry(self) -> Registry: ...

    def check_begun(self, round_id: int, key: str) -> None: ...

    def signed(
        self,
        data: bytes,
        *,
        key: str,
        types: PacketType | Sequence[PacketType],
        round_id: int | None,
    ) -> Signed: ...


class LedgerReader:
    """Reads one drop-box's ledger.

    `copy` keeps entries for the next process; with None they are not kept. The verifier is an
    argument of `read`, because it owns this reader.
    """

    def __init__(self, store: ObjectStore, *, limits: Limits, copy: LedgerCopy | None) -> None:
        self._store, self._limits, self._copy = store, limits, copy
        self._book: Book | None = None
        self._to_the_end = False  # whether a read has reached the end of this book
        self._of_copy = 0  # entries of the book that came from the copy
        # the envelopes of the book's entries, kept where there is a copy to be written
        self._envelopes: list[bytes] = []
        self._newest = b""
        self._annulled: frozenset[tuple[int, bytes]] = frozenset()

    def read(self, verifier: Verifier) -> list[Chained]:
        """Return the whole ledger, with chain, signatures and grammar verified.

        Only entries that are new since the last call are read, several at once. Raises LedgerError
        where the ledger is broken, and SignatureError or TransportError.
        """
        annulled = frozenset((a.sequence, a.digest) for a in verifier.registry.annulled)
        if annulled != self._annulled:  # the roots have spoken since: everything is read anew
            self._book, self._to_the_end, self._annulled = None, False, annulled
        if self._book is None:
            self._book = self._copied_book(verifier) or Book(verifier.registry.federation)
            self._of_copy = len(self._book.entries)
        first, ahead = not self._to_the_end, 1
        while self._read_entries(verifier, self._book, ahead, beyond=first):
            ahead = min(2 * ahead, _ENTRIES_AT_ONCE)
        self._to_the_end = True
        # the copy is written once a process; the next process reads what comes later
        if self._copy is not None and first and len(self._book.entries) > self._of_copy:
            version = verifier.registry.version
            self._copy.keep(self._envelopes, registry_version=version)
        return list(self._book.entries)

    def _copied_book(self, verifier: Verifier) -> Book | None:
        """Return the copy's entries, verified (R-75).

        Return None where there is no copy, or none of this federation that verifies. Raises
        LedgerError where the store contradicts one that does (R-113).
        """
        self._envelopes.clear()
        envelopes = () if self._copy is None else self._copy.load().entries
        if not envelopes:
            return None
        book = Book(verifier.registry.federation)
        try:
            for number, data in enumerate(envelopes, 1):
                self._add(verifier, book, data, Keys.ledger(number))
        except (PacketError, LedgerError):
            self._envelopes.clear()
            return None
        try:
            self._check_against(verifier, book, envelopes)
        except _AbandonedCopyError:  # the roots have named its head
            self._envelopes.clear()
            return None
        return book

    def _check_against(self, verifier: Verifier, book: Book, envelopes: Sequence[bytes]) -> None:
        """Check that the store's ledger goes through the copy's newest entry (R-113).

        Raises LedgerError where its tail is gone, or where the coordinator has signed another entry
        in that place; SignatureError where what lies there is nobody's.
        """
        number, last_digest = len(envelopes), book.entries[-1].digest
        key = Keys.ledger(number)
        where = (
            f"Its copy, {self._copy.path}, is evidence" if self._copy else "Its copy is evidence"
        )
        try:
            data = self._store.read(key, max_bytes=_MAX_ENTRY_BYTES)
        except ObjectNotFound as exc:
            if (number, last_digest) in self._annulled:
                raise _AbandonedCopyError from exc
            raise LedgerError(
                f"ends before entry {number}, {last_digest.hex()[:16]}, which this machine "
                "has read",
                subject="ledger",
                rule="R-113",
                remedy="The bucket was rolled back, or serves an old listing: restore it from its "
                f"versions, then try again. Nothing was written. {where}",
            ) from exc
        if data == envelopes[-1]:
            return
        if (number, last_digest) in self._annulled:
            raise _AbandonedCopyError
        signed = verifier.signed(data, key=key, types=PacketType.LEDGER, round_id=None)
        raise LedgerError(
            f"entry {number} is {signed.digest.hex()[:16]}, and this machine has read "
            f"{last_digest.hex()[:16]} there: the coordinator has signed two histories",
            subject="ledger",
            rule="R-113",
            remedy="Stop, keep both, and tell the registry's roots and the clients: one of them "
            f"was released from twice. Nothing was written. {where}",
        )

    @property
    def proof(self) -> bytes:
        """The coordinator's signed header of the newest entry read; empty where none was."""
        return proof_of(self._newest) if self._newest else b""

    def verified(self) -> list[Chained]:
        """Return the entries that are verified so far.

        They are those of the last call of `read`, or those up to where it failed.
        """
        return list(self._book.entries) if self._book else []

    def check(self, entry: LedgerEntry) -> None:
        """Raise LedgerError where `entry` may not follow the entries read so far (R-71, R-74)."""
        if self._book is not None:
            self._book.check(entry)

    def _read_entries(self, verifier: Verifier, book: Book, count: int, *, beyond: bool) -> bool:
        """Read the next `count` entries, and return whether all of them are there.

        A hole is not an end: raises LedgerError where an entry was cut out of the middle. With
        `beyond`, one more is asked for: it shows whether the last one is a hole or the end.
        """
        first = len(book.entries) + 1
        missing = ""
        keys = [Keys.ledger(first + i) for i in range(count + beyond)]
        for key, data in self._store.read_many(keys, max_bytes=_MAX_ENTRY_BYTES):
            if isinstance(data, ObjectNotFound):
                missing = missing or key
            elif isinstance(data, TransportError):
                raise data
            elif missing:
                if self._store.head(missing) is None:  # otherwise it was appended while we read
                    raise LedgerError(
                        f"is missing, though {key} exists",
                        subject=missing,
                        rule="R-71",
                        remedy=RESTORE_BUCKET,
                    )
                return True
            else:
                self._add(verifier, book, data, key)
        return not missing or (beyond and missing == keys[-1])

    def _add(self, verifier: Verifier, book: Book, data: bytes, key: str) -> None:
        signed = verifier.signed(data, key=key, types=PacketType.LEDGER, round_id=None)
        entry = PayloadCodec(limits=self._limits).decode(signed.body, LedgerEntry)
        header_fields = (
            signed.header.federation,
            signed.header.round,
            signed.header.sequence,
            signed.header.previous,
        )
        if header_fields != (entry.federation, entry.round, entry.sequence, entry.previous):
            raise LedgerError(
                "its header speaks of another entry",
                subject=key,
                rule="R-71",
                remedy="Run `hyperfed audit`",
            )
        if verifier.registry.coordinator_key(signed.header.key_id, entry.round) is None:
            raise SignatureError(
                f"key {signed.header.key_id:.32} was not the coordinator's in round {entry.round}",
                subject=key,
                rule="R-81",
            )
        if (entry.sequence, signed.digest) in self._annulled:
            book.add_annulled(entry, signed.digest)
        else:
            verifier.check_begun(entry.round, key)
            book.add(entry, signed.digest)
        self._newest = data
        if self._copy is not None:
            self._envelopes.append(data)
