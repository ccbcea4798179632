"""Local noise at the client: one message a round, charged once, kept until it has arrived.

1. The client's own guard is charged under the round's name before anything is drawn, so that its count and the ledger's agree: one night a round.
2. What was drawn is on disk, signed and sealed, before it is sent. A repeat after a crash or a lost reply sends the very same bytes: it draws nothing,
   costs nothing, and tells nothing more.
3. A second message is never made: it would be a second look at the same data, which the ledger does not count (R-98). A correction
   has to wait for the next round.
4. A guard whose file was lost starts from what the ledger ever reserved for local noise, not from nothing.
5. Where records are the unit, the client attests how far one of its records moves its effects before it noises; beyond the policy's bound it refuses.

What it does not do: sign, send (`session`), choose the noise (`privacy.mechanisms`).
"""

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hyperfed.errors import ConfigError, RefusedError
from hyperfed.lasting import alone_with, write_lasting
from hyperfed.packets import Update
from hyperfed.privacy.guard import PrivacyGuard
from hyperfed.privacy.policy import night_of
from hyperfed.privacy.release import noised_message
from hyperfed.protocol.ledger import Chained
from hyperfed.protocol.objects import EntryKind, Plan
from hyperfed.registry import Budget

__all__ = ["KeptMessage", "OneMessage", "noised", "operation_of", "recover"]

_REMEDY = "Nothing was sent; give the client a writable place"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMessage:
    """A noised message as it was signed. operation: the round it is charged to; data: the envelope; arrived: whether it lies in the drop-box."""

    operation: str
    sequence: int
    digest: str
    edges: int
    data: bytes
    arrived: bool = False


class OneMessage:
    """The newest message of local noise that this client has drawn, in `path`; None: in this process only."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._kept: KeptMessage | None = None

    def of(self, operation: str) -> KeptMessage | None:
        """The message of that round, where one was drawn. Raises ConfigError for a file that cannot be read."""
        with self._locked():
            return self._kept if self._kept is not None and self._kept.operation == operation else None

    def keep(self, message: KeptMessage) -> KeptMessage:
        """The round's message from now on: this one, or the one that another run has kept meanwhile. On disk before this returns."""
        with self._locked():
            if self._kept is None or self._kept.operation != message.operation:
                self._save(message)
            return self._kept if self._kept is not None else message

    def arrived(self, operation: str) -> None:
        """It lies in the drop-box: from now on a second one is refused."""
        with self._locked():
            if self._kept is not None and self._kept.operation == operation:
                self._save(replace(self._kept, arrived=True))

    @contextmanager
    def _locked(self) -> Iterator[None]:
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
            self._kept = KeptMessage(**(plain | {"data": base64.b64decode(plain["data"], validate=True)}))
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise ConfigError("is not a kept message", subject=str(path), remedy="Move it away; if this round's message has not arrived, it is lost") from exc

    def _save(self, message: KeptMessage) -> None:
        self._kept = message
        if self._path is None:
            return
        text = json.dumps(asdict(message) | {"data": base64.b64encode(message.data).decode()})
        write_lasting(self._path, text, error=ConfigError, remedy=_REMEDY)


def operation_of(plan: Plan) -> str:
    """What a round's message is called in the client's guard: one charge a round."""
    return f"{plan.federation}/round/{plan.round}"


def recover(guard: PrivacyGuard, ledger: Sequence[Chained]) -> None:
    """Charge an empty guard, as a lost file leaves one, with every night of local noise that the ledger ever reserved, void or not: this client may have sent
    a message in each. For a new client that is more than it spent, and never more than what ends the federation's nights. Raises PrivacyBudgetExhausted."""
    if guard.accountant.mechanisms:
        return
    for entry in (c.entry for c in ledger if c.entry.kind is EntryKind.RESERVE):
        local = tuple(m for m in entry.mechanisms if m.place == "local")
        if local:
            guard.charge(local, operation=f"{entry.federation}/round/{entry.round}")


def noised(update: Update, plan: Plan, *, budget: Budget, guard: PrivacyGuard) -> Update:
    """What leaves in place of `update` in a round of local noise. Raises PrivacyBudgetExhausted, RefusedError; nothing was drawn then."""
    night, bound = night_of(plan.policy, plan.vocabulary, budget), update.claims.record_bound
    if night is None:
        raise RefusedError("is no round of local noise", subject=f"round {plan.round}")
    if night.mechanism.unit == "record" and (bound is None or bound > plan.policy.record_bound):
        raise RefusedError(
            f"attests a record bound of {bound}; the policy's noise hides records that move a client's effects by at most {plan.policy.record_bound:g}",
            subject=f"update for round {plan.round}",
            rule="R-91",
            remedy="Write what holds for your data as [client] record_bound, or ask the operator for a larger one. Nothing was noised or sent",
        )
    guard.charge(night.mechanisms, operation=operation_of(plan))
    return noised_message(update, night, vocabulary=plan.vocabulary, max_lag=plan.policy.max_lag)
