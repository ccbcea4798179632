"""The error tree. Every error that leaves the library is one of these, and says what is wrong, with which object, and what to do.

    HyperfedError
    ├── ConfigError            a setting, a file or an argument of the user's
    ├── EngineError            data that a discovery engine cannot use (a column, a NaN, too few rows)
    ├── PacketError            bytes or values that break the protocol; never retried
    │   ├── SchemaError        not the canonical form: types, fields, sizes, an unknown version
    │   ├── BoundsError        a value outside what its field allows
    │   ├── SignatureError     a signature, digest, key or seal that does not verify
    │   └── RefusedError       well formed and signed, yet not admissible: round, audience, expiry, replay, policy
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
        ├── QuorumPending      not everyone is there yet and the waiting time is not used up; the only one a task retries
        ├── QuorumMissed       below quorum after the waiting time
        └── LedgerError        the ledger is broken, shortened or not ours

Source: STYLE 16-18. `RULES` of the protocol are named by id in `rule` and documented in docs/protocol.md.
"""

__all__ = [
    "AccessDenied",
    "AggregationError",
    "BoundsError",
    "BreakdownError",
    "ConfigError",
    "EngineError",
    "HyperfedError",
    "LedgerError",
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
    "SchemaError",
    "SignatureError",
    "StoreUnsuitable",
    "TransientError",
    "TransportError",
]


class HyperfedError(Exception):
    """What is wrong (`problem`), with which object (`subject`), under which rule (`rule`, such as "R-12"), and what to do (`remedy`)."""

    def __init__(self, problem: str, *, subject: str = "", rule: str = "", remedy: str = "") -> None:
        super().__init__(problem, subject, rule, remedy)
        self.problem, self.subject, self.rule, self.remedy = problem, subject, rule, remedy

    def __str__(self) -> str:
        text = f"{self.subject}: {self.problem}" if self.subject else self.problem
        if self.rule:
            text += f" [{self.rule}]"
        return f"{text}. {self.remedy}" if self.remedy else text

    def __reduce__(self) -> tuple[object, ...]:  # keyword-only fields must survive a process boundary
        return (_rebuild, (type(self), self.problem, self.subject, self.rule, self.remedy))


def _rebuild(kind: type[HyperfedError], problem: str, subject: str, rule: str, remedy: str) -> HyperfedError:
    return kind(problem, subject=subject, rule=rule, remedy=remedy)


class ConfigError(HyperfedError):
    """A setting, a file or an argument of the user's."""


class EngineError(HyperfedError):
    """Data that a discovery engine cannot use."""


class PacketError(HyperfedError):
    """Bytes or values that break the protocol."""


class SchemaError(PacketError):
    """Not the canonical form: types, fields, sizes, an unknown version."""


class BoundsError(PacketError):
    """A value outside what its field allows."""


class SignatureError(PacketError):
    """A signature, digest, key or seal that does not verify."""


class RefusedError(PacketError):
    """Well formed and signed, yet not admissible here."""


class RegistryError(HyperfedError):
    """The list of clients and keys."""


class PrivacyError(HyperfedError):
    """A privacy statement that cannot be made or kept."""


class PrivacyBudgetExhausted(PrivacyError):
    """What is asked for does not fit into what is left of the budget."""

    def __init__(self, problem: str = "the privacy budget is exhausted", **details: str) -> None:
        super().__init__(problem, **details)


class AggregationError(HyperfedError):
    """A merge that has no sound answer."""


class BreakdownError(AggregationError):
    """Too few clients for the faults that a rule shall bear, or a rule that bears none."""


class TransportError(HyperfedError):
    """The object store, or the way to it."""


class ObjectNotFound(TransportError):
    """There is no object under this key."""


class ObjectTooLarge(TransportError):
    """The object is larger than the caller allows; nothing of it was read."""


class AccessDenied(TransportError):
    """Wrong credentials or a missing right."""


class StoreUnsuitable(TransportError):
    """The store does not honour create-only writes."""


class TransientError(TransportError):
    """Worth another try."""


class RoundError(HyperfedError):
    """A round that cannot go on."""


class QuorumPending(RoundError):
    """Not everyone is there yet and the waiting time is not used up."""


class QuorumMissed(RoundError):
    """Below quorum after the waiting time."""


class LedgerError(RoundError):
    """The ledger is broken, shortened or not ours."""
