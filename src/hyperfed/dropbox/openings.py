"""Read what clients and helpers leave so that a sum is opened, and verify whose it is.

1. A part is signed by a key of its client that the plan's registry has valid in the round, and it
   lies in that client's place. Anything else counts as missing, with its reason: also what is too
   large to be a part, so that nobody's rubbish keeps others from reading.
2. A client's boxes name the plan, and have one commitment for each set of helpers and one box for
   each helper, sealed to the key that this helper has published (R-170).
3. Helpers say whether boxes open, and whoever reads the update says whether it fits them
   (`mask_boxes` gives both digests).
4. With central noise the sum is exact, and helpers' answers are sealed to the coordinators and
   auditors of the registry that the freeze names. An answer that is open, or sealed to anybody
   else, counts as missing (R-206). Whoever has no key sees that an answer lies there.

What it does not do: it does not open boxes or sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from hyperfed.codec import PayloadCodec
from hyperfed.crypto.envelope import (
    Header,
    PacketType,
    Signed,
    open_envelope,
    sign_envelope,
    verify_envelope,
)
from hyperfed.crypto.keys import KeyPair, PublicKeys
from hyperfed.crypto.sealing import NOT_SEALED, bind_body, open_body, seal_body, sealed_to
from hyperfed.dropbox.opening_objects import (
    Confirmation,
    HelperKey,
    HelperRefusal,
    MaskBoxes,
    OpeningSums,
    Rebuttal,
    RoundManifest,
    SealedSums,
)
from hyperfed.dropbox.reader import DropBoxReader, Stored
from hyperfed.errors import (
    ObjectNotFound,
    ObjectTooLarge,
    PacketError,
    RefusedError,
    RegistryError,
)
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze, Plan
from hyperfed.registry.helper_group import HelperGroup
from hyperfed.registry.registry import Registry
from hyperfed.registry.secure_sums import SecureSums
from hyperfed.secure_aggregation.opening import Opening

__all__ = ["PAYLOAD", "OpeningReader", "checked_recipients", "secure_sums_of", "signed_part"]

PAYLOAD = "statistics"
"""What rounds sum under masks."""
_LIFETIME = timedelta(days=30)
_MOST_BYTES = 1 << 16
"""What a part of a client, or a helper's key, has at most; seven helpers' boxes are a tenth."""
_SMALL = (PacketType.BOXES, PacketType.REBUTTAL, PacketType.HELPER_KEY)

_PARTS: dict[str, tuple[PacketType, type[Any]]] = {
    "keys": (PacketType.HELPER_KEY, HelperKey),
    "boxes": (PacketType.BOXES, MaskBoxes),
    "confirmed": (PacketType.CONFIRMATION, Confirmation),
    "sums": (PacketType.OPENING, OpeningSums),
    "refused": (PacketType.HELPER_REFUSAL, HelperRefusal),
    "rebuttals": (PacketType.REBUTTAL, Rebuttal),
}

T = TypeVar("T")


def secure_sums_of(registry: Registry) -> SecureSums:
    """Return the registry's rules of who helps to open sums.

    Raises RegistryError where nobody does (R-168).
    """
    if registry.secure_sums is None:
        raise RegistryError(
            f"version {registry.version} names no helpers, who open secure sums",
            subject="registry",
            rule="R-168",
            remedy="Have the roots name them with `hyperfed registry helpers`",
        )
    return registry.secure_sums


def signed_part(
    value: Any,
    type_: PacketType,
    *,
    sender: str,
    key_pair: KeyPair,
    now: datetime,
    recipients: Sequence[PublicKeys] = (),
) -> bytes:
    """Return the signed object of a client or helper; `value` has `federation` and `round`.

    recipients: to whom its body is sealed; nobody: it is not.
    """
    body = PayloadCodec().encode(value)
    header = Header(
        federation=value.federation,
        round=value.round,
        sender=sender,
        key_id=key_pair.key_id,
        audience="all",
        sequence=0,
        nonce=b"",
        created=now,
        expires=now + _LIFETIME,
    )
    if recipients:
        header, body = seal_body(header, body, recipients)
    return sign_envelope(type_, bind_body(header, body), body, [key_pair])


@dataclass(slots=True)
class OpeningReader:
    """Reads the parts of one round's opening."""

    reader: DropBoxReader
    """Reads the drop-box."""
    plan: Stored[Plan]
    """The round's plan."""
    key_pair: KeyPair | None = None
    """Opens helpers' answers where they are sealed; None: they stay closed."""
    why_not: dict[str, str] = field(default_factory=dict)
    """Why parts that lie there do not count, by their keys."""
    _known: dict[str, Any] = field(default_factory=dict)

    @property
    def registry(self) -> Registry:
        """The registry that the plan names."""
        return self.reader.registry_at(self.plan.value.registry_version)

    @property
    def secure_sums(self) -> SecureSums:
        """The registry's rules of who helps.

        Raises RegistryError where nobody does.
        """
        return secure_sums_of(self.registry)

    @property
    def group(self) -> HelperGroup:
        """The helpers of the round."""
        return self.secure_sums.group

    @property
    def round(self) -> int:
        """The number of the round."""
        return self.plan.value.round

    @property
    def sealed(self) -> bool:
        """Whether answers are sealed: where noise is central, and the opened sum exact (R-206)."""
        return self.plan.value.policy.privacy == "central"

    @property
    def opens(self) -> bool:
        """Whether this reader can read answers: they are open, or it has a key they are sealed to.

        Nothing is sealed before the freeze, which says to whom.
        """
        own = "" if self.key_pair is None else self.key_pair.key_id
        return not self.sealed or own in {keys.key_id for keys in self.recipients()}

    def recipients(self) -> tuple[PublicKeys, ...]:
        """Return the keys that answers are sealed to, of coordinators and auditors; none if open.

        Nobody is one before the freeze.
        """
        frozen = self.reader.freeze(self.round) if self.sealed else None
        return () if frozen is None else self.recipients_by(frozen.value)

    def recipients_by(self, freeze: Freeze) -> tuple[PublicKeys, ...]:
        """Return the keys that answers are sealed to by a freeze; none where they are open.

        They are those that the frozen registry has valid in the round, as for the seed of its noise
        (R-110).
        """
        if not self.sealed:
            return ()
        return self.reader.registry_at(freeze.registry_version).sealing_keys(self.round)

    def helper_key(self, helper: str) -> bytes | None:
        """Return the key that a helper has published for the round, or None."""
        part = self._part(
            Keys.helper_key(self.round, helper), PacketType.HELPER_KEY, HelperKey, helper
        )
        return None if part is None else part.value.sealing

    def helper_keys(self) -> dict[str, bytes]:
        """Return the keys that helpers have published for the round."""
        named = {helper: self.helper_key(helper) for helper in self.group.helpers}
        return {helper: key for helper, key in named.items() if key is not None}

    def mask_boxes(self, client: str) -> Stored[MaskBoxes] | None:
        """Return a client's boxes, or None where there are none, or where they do not fit."""
        key = Keys.boxes(self.round, client)
        part = self._part(key, PacketType.BOXES, MaskBoxes, client)
        if part is None:
            return None
        value, group = part.value, self.group
        fits = (
            value.plan == self.plan.digest
            and value.registry_version == self.plan.value.registry_version
            and value.payload == PAYLOAD
            and len(value.commitments) == group.seeds
            and len(value.boxes) == len(group.helpers) == len(value.keys)
        )
        if not fits:
            self.why_not[key] = "is of another plan, or its commitments or boxes lack one"
            return None
        return part

    def confirmation(self, helper: str) -> Stored[Confirmation] | None:
        """Return what a helper has confirmed, or None."""
        return self._part(
            Keys.confirmation(self.round, helper), PacketType.CONFIRMATION, Confirmation, helper
        )

    def manifest(self) -> Stored[RoundManifest] | None:
        """Return the round's manifest, signed by the coordinator, or None."""
        kinds: dict[str, type[Any]] = {PacketType.MANIFEST: RoundManifest}
        return self.reader.read(
            Keys.manifest(self.round), PacketType.MANIFEST, kinds, round_id=self.round
        )

    def has_answered(self, helper: str) -> bool:
        """Return whether an answer of a helper lies there, which this reader need not open."""
        return self._answer(helper) is not None

    def _answer(self, helper: str) -> Stored[Any] | None:
        """Return a helper's answer: `OpeningSums`, or `SealedSums` where no key opens it."""
        return self._part(Keys.opening(self.round, helper), PacketType.OPENING, OpeningSums, helper)

    def opening(self, helper: str, length: int) -> Opening | None:
        """Return a helper's answer, with `length` numbers for each set, or None."""
        key, part = Keys.opening(self.round, helper), self._answer(helper)
        if part is None:
            return None
        if isinstance(part.value, SealedSums):
            self.why_not[key] = f"is sealed to {', '.join(part.value.sealed_to)}, not to this key"
            return None
        sets = self.group.held_by(helper)
        if part.value.sums.shape != (len(sets) * length,):
            self.why_not[key] = f"has not {len(sets)} sums of {length} numbers"
            return None
        rows = part.value.sums.reshape(len(sets), length)
        return Opening(
            helper=helper,
            manifest_digest=part.value.manifest,
            payload=part.value.payload,
            sums=dict(zip(sets, rows, strict=True)),
        )

    def refusal(self, helper: str) -> HelperRefusal | None:
        """Return why a helper refuses the round's manifest, or None."""
        key = Keys.helper_refusal(self.round, helper)
        part = self._part(key, PacketType.HELPER_REFUSAL, HelperRefusal, helper)
        return None if part is None else part.value

    def rebuttal(self, client: str) -> Stored[Rebuttal] | None:
        """Return what an accused client has published, or None where nothing counts (R-199).

        It is of this plan, of the boxes that lie there, and of at most t of the helpers.
        """
        key = Keys.rebuttal(self.round, client)
        part = self._part(key, PacketType.REBUTTAL, Rebuttal, client)
        if part is None:
            return None
        boxes, value = self.mask_boxes(client), part.value
        helpers, most = [name for name, _ in value.published], self.group.colluding_helpers
        if boxes is None or (value.plan, value.accused) != (self.plan.digest, boxes.digest):
            self.why_not[key] = "is of another plan, or of other boxes than lie there"
        elif len(helpers) > most or not set(helpers) <= set(self.group.helpers):
            self.why_not[key] = (
                f"publishes the keys of {len(helpers)} boxes; at most {most}, of helpers, may be "
                "published, or the seeds would be known (R-199)"
            )
        else:
            return part
        return None

    def part_at(self, key: str) -> Stored[Any] | None:
        """Return the part of the round's opening that lies at `key`, or None."""
        if key == Keys.manifest(self.round):
            return self.manifest()
        folder, owner = key.split("/")[-2:]
        if folder == "rebuttals":
            return self.rebuttal(owner)
        return self._part(key, *_PARTS[folder], owner) if folder in _PARTS else None

    def _part(self, key: str, type_: PacketType, kind: type[T], owner: str) -> Stored[T] | None:
        """Return one part, verified and parsed, or None where none counts."""
        if key in self._known:
            part: Stored[T] = self._known[key]
            return part
        most = self.reader.limits.max_object_bytes
        most = min(most, _MOST_BYTES) if type_ in _SMALL else most
        try:
            data = self.reader.store.read(key, max_bytes=most)
            part = self._verified(data, key, type_, kind, owner)
        except ObjectNotFound:
            return None
        except (PacketError, ObjectTooLarge) as error:
            self.why_not[key] = str(error)
            return None
        self._known[key] = part
        return part

    def _verified(
        self, data: bytes, key: str, type_: PacketType, kind: type[T], owner: str
    ) -> Stored[T]:
        signing_keys = self.registry.signing_keys(self.round)

        def key_of(key_id: str) -> bytes | None:
            name, public = signing_keys.get(key_id, ("", b""))
            return public if name == owner else None

        signed: Signed = verify_envelope(
            open_envelope(data, subject=key), expect=type_, key_of=key_of, subject=key
        )
        body = self._opened(signed, key)
        value: Any = (
            SealedSums(
                federation=signed.header.federation,
                round=signed.header.round,
                helper=signed.header.sender,
                sealed_to=sealed_to(signed.body, subject=key),
            )
            if body is None
            else PayloadCodec(limits=self.reader.limits).decode(body, kind)
        )
        whose = getattr(value, "client", None) or getattr(value, "helper", None)
        stated = (signed.header.federation, signed.header.round, signed.header.sender)
        federation = self.plan.value.federation
        if stated != (federation, self.round, owner) or (
            (value.federation, value.round, whose) != stated
        ):
            raise RefusedError(
                f"speaks for {signed.header.sender!r:.40} in round {signed.header.round} of "
                f"federation {signed.header.federation!r:.40}",
                subject=key,
                rule="R-51",
                remedy="Nothing to do: it was moved from another place, and does not count",
            )
        return Stored(key=key, value=value, digest=signed.digest, signed=signed)

    def _opened(self, signed: Signed, key: str) -> bytes | memoryview | None:
        """Return the body of a part, or None where it is sealed to others.

        Raises RefusedError where it is open or sealed against R-206, and SignatureError where it
        does not open with a key that it claims to be sealed to.
        """
        sealed = signed.header.encryption != NOT_SEALED
        must = self.sealed and signed.type == PacketType.OPENING
        wanted = tuple(sorted(keys.key_id for keys in self.recipients())) if must else ()
        given = sealed_to(signed.body, subject=key) if sealed else ()
        if sealed != must or given != wanted:
            raise RefusedError(
                f"is sealed to {', '.join(given) or 'nobody'}, and "
                f"{', '.join(wanted) or 'nobody'} is to open it",
                subject=key,
                rule="R-206",
                remedy="It counts as missing. Have this helper update hyperfed, and read the "
                "newest registry",
            )
        if sealed and (self.key_pair is None or self.key_pair.key_id not in given):
            return None
        return open_body(signed, self.key_pair, subject=key)


def checked_recipients(openings: OpeningReader, freeze: Freeze) -> tuple[PublicKeys, ...]:
    """Return the keys that a helper is to seal its answer to; none where answers are open.

    They are told once, by the freeze that the helper has verified: a bucket that hides it later
    changes nothing. Raises RefusedError where the newest registry has withdrawn one of them: the
    coordinator chose which version a freeze names, and a thief would choose an old one.
    """
    registry, recipients = openings.reader.registry, openings.recipients_by(freeze)
    stand = {keys.key_id for keys in registry.sealing_keys(openings.round)}
    gone = [keys.key_id for keys in recipients if keys.key_id not in stand]
    if gone:
        raise RefusedError(
            f"is to be opened by {', '.join(gone)}, which registry version {registry.version} has "
            "withdrawn",
            subject=Keys.manifest(openings.round),
            rule="R-206",
            remedy="Nothing was answered. The next round's freeze names the newest registry",
        )
    return recipients
