"""Add local noise at the client: one message a round, charged once, kept until it has arrived.

1. The client's own guard is charged under the round's name before anything is drawn, so that its
   count and the ledger's agree: one charge a round. With noise in shares it is charged for as few
   shares as the plan counts on, since nobody knows yet how many will be frozen (R-191); the ledger
   is charged for those that are.
2. The noised message is on disk, signed and sealed, before it is sent. A repeat after a crash or a
   lost reply sends the very same bytes: it draws nothing, costs nothing, and reveals nothing more.
3. A second message is never made: it would be a second look at the same data, which the ledger does
   not count (R-98). A correction has to wait for the next round. What was kept for earlier rounds
   is remembered by name: a bucket that hides the first message gets no second one.
4. A guard whose file was lost starts from what the ledger ever reserved for local noise, not from
   nothing. So does one whose client's memory is behind its receipts.
5. Where records are the unit, the client attests how far one of its records moves its effects
   before it noises; beyond the policy's bound it refuses.

What it does not do: it does not sign or send (`session`), nor choose the noise
(`privacy.mechanisms`).
"""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hyperfed.codec import PayloadCodec
from hyperfed.dropbox.charges import charging
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import ConfigError, PrivacyBudgetExhausted, PrivacyError, RefusedError
from hyperfed.packets import Update
from hyperfed.privacy.guard import PrivacyGuard
from hyperfed.privacy.mechanisms import PlannedRelease
from hyperfed.privacy.moments import noised_statistics
from hyperfed.privacy.policy import release_of
from hyperfed.privacy.release import noised_message
from hyperfed.protocol.entries import (
    EntryKind,
    Mechanism,
)
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.objects import (
    Plan,
)
from hyperfed.registry.registry import Budget
from hyperfed.storage.local_files import alone_with, write_durably
from hyperfed.tables.tables import EdgeTable

__all__ = [
    "KeptMessage",
    "OneMessage",
    "before_noise",
    "charge_share",
    "check_attested",
    "noised",
    "operation_of",
    "recover",
    "recover_all",
    "second_message",
]

_REMEDY = "Nothing was sent; give the client a writable place"
_REMEMBERED = 64  # rounds, as in `sent`


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMessage:
    """Holds a noised message as it was signed."""

    operation: str
    """The name of the round that the message is charged to."""
    sequence: int
    """The sequence of the update."""
    digest: str
    """The digest of the update, hexadecimal."""
    edges: int
    """The number of edges in it."""
    data: bytes
    """The bytes of the envelope."""
    body: bytes = b""
    """The noised message, encoded; empty where an earlier version kept it."""
    boxes: bytes = b""
    """The envelope of a masked message's seeds, sealed to the helpers; empty elsewhere."""
    arrived: bool = False
    """Whether the message lies in the drop-box."""
    earlier: tuple[str, ...] = ()
    """The operations of the messages that were kept before it, oldest first, at most 64."""

    @classmethod
    def of(
        cls, operation: str, message: Update, data: bytes, sequence: int, digest: str
    ) -> "KeptMessage":
        """Return what is kept of a message that was signed just now."""
        return cls(
            operation=operation,
            sequence=sequence,
            digest=digest,
            edges=len(message.edges or ()),
            data=data,
            body=PayloadCodec(compression="zstd").encode(message),
        )


class OneMessage:
    """Keeps the newest message of local noise, or under masks, that this client has drawn.

    It is kept in the file `path`, or in this process only where `path` is None.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._kept: KeptMessage | None = None

    def of(self, operation: str) -> KeptMessage | None:
        """Return the message of a round, or None where none was drawn.

        Raises ConfigError for a file that cannot be read.
        """
        with self._locked():
            return (
                self._kept if self._kept is not None and self._kept.operation == operation else None
            )

    def keep(self, message: KeptMessage) -> KeptMessage:
        """Keep the round's message, on disk before this returns, and return the one that counts.

        That is `message`, or the one that another run has kept meanwhile.
        """
        with self._locked():
            if self._kept is not None:
                if self._kept.operation == message.operation:
                    return self._kept
                earlier = (*self._kept.earlier, self._kept.operation)[-_REMEMBERED:]
                message = replace(message, earlier=earlier)
            self._save(message)
            return message

    def gave_way(self, operation: str) -> bool:
        """Return whether a message of a round was kept, and then one of another round instead."""
        with self._locked():
            return self._kept is not None and operation in self._kept.earlier

    def arrived(self, operation: str) -> None:
        """Note that the message lies in the drop-box: from now on a second one is refused."""
        with self._locked():
            if self._kept is not None and self._kept.operation == operation:
                self._save(replace(self._kept, arrived=True))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Read the file anew, and let no other process change it meanwhile."""
        if self._path is None:
            yield
            return
        with alone_with(self._path, error=ConfigError, remedy=_REMEDY):
            self._load(self._path)
            yield

    def _load(self, path: Path) -> None:
        if not path.exists():
            return
        try:
            plain = json.loads(path.read_text())
            binary = {
                name: base64.b64decode(plain.get(name, ""), validate=True)
                for name in ("data", "body", "boxes")
            }
            earlier = tuple(map(str, plain.get("earlier", ())))
            self._kept = KeptMessage(**(plain | binary | {"earlier": earlier}))
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise ConfigError(
                "is not a kept message",
                subject=str(path),
                remedy="Move it away; if this round's message has not arrived, it is lost",
            ) from exc

    def _save(self, message: KeptMessage) -> None:
        self._kept = message
        if self._path is None:
            return
        binary = {
            name: base64.b64encode(getattr(message, name)).decode()
            for name in ("data", "body", "boxes")
        }
        text = json.dumps(asdict(message) | binary)
        write_durably(self._path, text, error=ConfigError, remedy=_REMEDY)


def operation_of(plan: Plan) -> str:
    """Return the name under which the client's guard charges a round, once."""
    return f"{plan.federation}/round/{plan.round}"


def recover(guard: PrivacyGuard, ledger: Sequence[Chained]) -> None:
    """Charge an empty guard with every round of local noise that the ledger ever reserved.

    A guard is empty where its file was lost. Void nights are charged too: this client may have sent
    a message in each. For a new client that is more than it spent, and never more than what ends
    the federation's nights. Raises PrivacyBudgetExhausted.
    """
    if guard.accountant.mechanisms:
        return
    for operation, local in _reserved(ledger):
        guard.charge(local, operation=operation)


def recover_all(guard: PrivacyGuard, ledger: Sequence[Chained]) -> None:
    """Charge every round of local noise that the ledger reserved and the guard does not know.

    It is for a client whose memory is behind its receipts: what the guard's file says may be of the
    same backup. What fits no more is left out, and the next night says so.
    """
    for operation, local in _reserved(ledger):
        with suppress(PrivacyBudgetExhausted, PrivacyError):
            guard.charge(local, operation=operation)


def _reserved(ledger: Sequence[Chained]) -> Iterator[tuple[str, tuple[Mechanism, ...]]]:
    """Yield the name of each night of local noise in the ledger, and what it charged."""
    for entry in (c.entry for c in ledger if c.entry.kind is EntryKind.RESERVE):
        local = tuple(m for m in entry.mechanisms if m.place in ("shares", "local"))
        if local:
            yield f"{entry.federation}/round/{entry.round}", local


def second_message(client_id: str, round_id: int, *, drawn: bool = False) -> RefusedError:
    """Return the error for a second message of local noise in one round.

    drawn: whether its noise was drawn, and charged, before the first message was seen.
    """
    cost = (
        "The noise of the new one was drawn and stays charged; it was not sent"
        if drawn
        else "Nothing was sent or spent"
    )
    return RefusedError(
        f"round {round_id} has its message already",
        subject=f"client {client_id}",
        rule="R-98",
        remedy=f"{cost}. Local noise allows one message a round: a second would tell more than the "
        "budget counts; correct in the next round",
    )


def noised(update: Update, plan: Plan, *, budget: Budget, guard: PrivacyGuard) -> Update:
    """Return the noised message that is sent in place of `update`, and charge the guard for it.

    Raises PrivacyBudgetExhausted or RefusedError; nothing was drawn then.
    """
    planned = release_of(plan.policy, plan.vocabulary, budget)
    if planned is None or planned.mechanism.place == "shares":
        raise RefusedError("is no round of local noise", subject=f"round {plan.round}")
    if plan.policy.payload != "edges":
        return _noised_sums(update, plan, planned, guard)
    check_attested(update, plan, planned)
    guard.charge(planned.mechanisms, operation=operation_of(plan))
    return noised_message(
        update, planned, vocabulary=plan.vocabulary, lags=plan.policy.allowed_lags
    )


def _noised_sums(
    update: Update, plan: Plan, planned: PlannedRelease, guard: PrivacyGuard
) -> Update:
    """Return the message of a round of statistics, with noise on every moment."""
    if update.statistics is None:
        raise RefusedError(
            "has no statistics to noise",
            subject=f"update for round {plan.round}",
            rule="R-160",
            remedy="Nothing was noised or sent; submit data with `hyperfed submit --data`",
        )
    guard.charge(planned.mechanisms, operation=operation_of(plan))
    return Update(
        measured=update.measured,
        edges=EdgeTable.empty(),
        lags=update.lags,
        statistics=noised_statistics(update.statistics, planned),
    )


def charge_share(
    plan: Plan,
    reader: DropBoxReader,
    ledger: Sequence[Chained],
    *,
    guard_of: Callable[[Budget], PrivacyGuard],
) -> PlannedRelease | None:
    """Charge the guard for a share of noise, and return the night that it is drawn by (R-191).

    guard_of: returns the client's guard of a budget. It is filled from the ledger where its file
    was lost. Returns None, and charges nothing, where the round's noise is not in shares. A void
    round stays charged: helpers may have opened its sum. Raises PrivacyBudgetExhausted.
    """
    if plan.policy.privacy != "shares":
        return None
    budget = reader.registry.budget
    guard = guard_of(budget)
    recover(guard, [c for c in charging(reader, ledger) if c.entry.round != plan.round])
    planned = release_of(plan.policy, plan.vocabulary, budget)
    if planned is not None:
        guard.charge(planned.mechanisms, operation=operation_of(plan))
    return planned


def check_attested(update: Update, plan: Plan, planned: PlannedRelease) -> None:
    """Raise RefusedError where noise hides records and the update attests no fitting bound."""
    bound = update.claims.record_bound
    if planned.mechanism.unit == "record" and (bound is None or bound > plan.policy.record_bound):
        raise RefusedError(
            f"attests a record bound of {bound}; the policy's noise hides records that move a "
            f"client's effects by at most {plan.policy.record_bound:g}",
            subject=f"update for round {plan.round}",
            rule="R-91",
            remedy="Write what holds for your data as [client] record_bound, or ask the "
            "operator for a larger one. Nothing was noised or sent",
        )


def before_noise(plan: Plan) -> Plan:
    """Return the plan that an update has to fit before this client noises it."""
    if plan.policy.privacy != "local":
        return plan
    as_made = "none" if plan.policy.payload == "edges" else "central"  # clipped, without noise
    return replace(plan, policy=replace(plan.policy, privacy=as_made))
