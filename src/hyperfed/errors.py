"""Define the error tree.

Every error that leaves the library is one of these, and says what is wrong, with which object, and
what to do.

    HyperfedError
    ├── ConfigError            a setting, a file or an argument of the user's
    │   └── ClockError         this machine's clock and the store's differ
    ├── MachineError           this machine lacks room, memory, threads or a right
    ├── EngineError            data that a discovery engine cannot use: a column, a NaN
    ├── PacketError            bytes or values that break the protocol; never retried
    │   ├── SchemaError        not the canonical form: types, fields, sizes, an unknown version
    │   ├── BoundsError        a value outside what its field allows
    │   ├── SignatureError     a signature, digest, key or seal that does not verify
    │   └── RefusedError       well formed and signed, yet not admissible: round, audience, expiry,
    │                          replay, policy
    ├── RegistryError          the list of clients and keys: unknown, revoked, expired, under-signed
    ├── PrivacyError
    │   └── PrivacyBudgetExhausted
    ├── AggregationError       a merge that has no sound answer
    │   └── BreakdownError     too few clients for the faults that a rule shall bear
    ├── TransportError         the object store
    │   ├── ObjectNotFound
    │   ├── ObjectTooLarge
    │   ├── AccessDenied       wrong credentials or a missing right; never retried
    │   ├── StoreUnsuitable    the store does not honour create-only writes
    │   └── TransientError     worth another try: time-outs, 5xx, a conflict, a lost connection
    └── RoundError             a round that cannot go on
        ├── QuorumPending      not everyone is there yet and the waiting time is not used up; the
        │                      only one a task retries
        ├── QuorumMissed       below quorum after the waiting time
        ├── RoundPassed        a round that was not opened before a later one ended
        ├── FrozenUpdateLost   an update that a freeze counts and that the store no longer has
        └── LedgerError        the ledger is broken, shortened or not ours

Source: STYLE 24 to 26. The `rule` of an error names a rule of the protocol by its id;
docs/protocol.md documents the rules.
"""

__all__ = [
    "AccessDenied",
    "AggregationError",
    "BoundsError",
    "BreakdownError",
    "ClockError",
    "ConfigError",
    "EngineError",
    "FrozenUpdateLost",
    "HyperfedError",
    "LedgerError",
    "MachineError",
    "ObjectNotFound",
    "ObjectTooLarge",
    "PacketError",
    "PrivacyBudgetExhausted",
    "PrivacyError",
    "QuorumMissed",
    "QuorumPending",
    "RefusedError",
    "RegistryError",
    "RoundError",
    "RoundPassed",
    "SchemaError",
    "SignatureError",
    "StoreUnsuitable",
    "TransientError",
    "TransportError",
]


# for the rooms of the library; what users write against is the errors
RESTORE_BUCKET = "Restore the bucket from its versions; run `hyperfed audit`"
"""The remedy where an object of the drop-box is gone, or is not the one that was signed."""


class HyperfedError(Exception):
    """The base of all errors of the library.

    `problem` says what is wrong, `subject` with which object, `rule` under which rule of the
    protocol (such as "R-12"), and `remedy` what to do.
    """

    def __init__(
        self, problem: str, *, subject: str = "", rule: str = "", remedy: str = ""
    ) -> None:
        super().__init__(problem, subject, rule, remedy)
        self.problem, self.subject, self.rule, self.remedy = problem, subject, rule, remedy

    def __str__(self) -> str:
        text = f"{self.subject}: {self.problem}" if self.subject else self.problem
        if self.rule:
            text += f" [{self.rule}]"
        return f"{text}. {self.remedy}" if self.remedy else text

    # keyword-only fields must survive a process boundary
    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.problem, self.subject, self.rule, self.remedy))


def _rebuild(
    kind: type[HyperfedError], problem: str, subject: str, rule: str, remedy: str
) -> HyperfedError:
    return kind(problem, subject=subject, rule=rule, remedy=remedy)


class ConfigError(HyperfedError):
    """A setting, a file or an argument of the user's is wrong."""


class ClockError(ConfigError):
    """This machine's clock and the store's differ by more than is tolerated."""


class MachineError(HyperfedError):
    """This machine lacks room on a disk, memory, threads, open files or a right."""


class EngineError(HyperfedError):
    """A discovery engine cannot use the data."""


class PacketError(HyperfedError):
    """Bytes or values break the protocol."""


class SchemaError(PacketError):
    """The bytes are not in the canonical form: types, fields, sizes, an unknown version."""


class BoundsError(PacketError):
    """A value is outside what its field allows."""


class SignatureError(PacketError):
    """A signature, a digest, a key or a seal does not verify."""


class RefusedError(PacketError):
    """A packet is well formed and signed, yet not admissible here."""


class RegistryError(HyperfedError):
    """The list of clients and keys is wrong, or does not allow what is asked."""


class PrivacyError(HyperfedError):
    """A privacy statement cannot be made or kept."""


class PrivacyBudgetExhausted(PrivacyError):
    """The request does not fit into what is left of the budget."""

    def __init__(self, problem: str = "the privacy budget is exhausted", **details: str) -> None:
        super().__init__(problem, **details)


class AggregationError(HyperfedError):
    """A merge has no sound answer."""


class BreakdownError(AggregationError):
    """There are too few clients for the faults that a rule shall bear, or the rule bears none."""


class TransportError(HyperfedError):
    """The object store, or the way to it, fails or refuses."""


class ObjectNotFound(TransportError):
    """There is no object under this key."""


class ObjectTooLarge(TransportError):
    """The object is larger than the caller allows; nothing of it was read."""


class AccessDenied(TransportError):
    """The credentials are wrong, or a right is missing."""


class StoreUnsuitable(TransportError):
    """The store does not honour create-only writes."""


class TransientError(TransportError):
    """The request failed for a passing reason, and is worth another try.

    `asked_s` is the time, in seconds, for which the other side asked to be left alone; 0: it did
    not ask.
    """

    def __init__(
        self,
        problem: str,
        *,
        subject: str = "",
        rule: str = "",
        remedy: str = "",
        asked_s: float = 0.0,
    ) -> None:
        super().__init__(problem, subject=subject, rule=rule, remedy=remedy)
        self.asked_s = asked_s

    def __reduce__(self) -> tuple[object, ...]:
        return (*super().__reduce__(), {"asked_s": self.asked_s})


class RoundError(HyperfedError):
    """A round cannot go on."""


class QuorumPending(RoundError):
    """Not every client is there yet, and the waiting time is not used up."""


class QuorumMissed(RoundError):
    """The round is below quorum after the waiting time."""


class RoundPassed(RoundError):
    """The round was not opened in time: a later one stands in the ledger (R-60)."""


class FrozenUpdateLost(RoundError):
    """A freeze counts an update that the store no longer has (R-66)."""


class LedgerError(RoundError):
    """The ledger is broken, shortened or not ours."""
