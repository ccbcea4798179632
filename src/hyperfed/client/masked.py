"""Mask a client's statistics or effects: one message a round, and its seeds in boxes beside it.

1. The numbers are masked with fresh seeds, and the update is signed; the boxes name it by digest.
   Both are on disk before anything is sent, so that a repeat sends the same bytes.
2. Boxes are written first: an update without boxes would take the client's only slot, and count for
   nothing.
3. Nothing that is sent reveals a seed, and seeds are not kept. The ephemeral keys of the boxes are,
   for as long as a helper may accuse the client (`client.box_keys`).
4. There is one message a round, in slot 0 (R-164): two messages of one client under one opening
   would reveal their difference.
5. With noise in shares, the client's share is added before the masks. It is drawn for this one
   message, once the client's guard is charged (R-191, `noised.charge_share`). With central noise
   clipped moments are masked as they are, and the guard is charged nothing.
6. Effects are sent as one number for each possible edge. The message says nothing of what was
   measured or found here, and attests a record bound where the policy protects records (R-201).

What it does not do: choose helpers (the registry does), or write (`session`).
"""

from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np

from hyperfed.client.box_keys import BoxKeys
from hyperfed.client.noised import KeptMessage
from hyperfed.client.own_slots import written
from hyperfed.crypto.envelope import PacketType
from hyperfed.crypto.keys import KeyPair
from hyperfed.dropbox.opening_objects import MaskBoxes
from hyperfed.dropbox.openings import PAYLOAD, OpeningReader, signed_part
from hyperfed.errors import RefusedError
from hyperfed.packets import Claims, Update
from hyperfed.packets.masked import MaskedNumbers
from hyperfed.privacy.mechanisms import PlannedRelease
from hyperfed.privacy.moments import moment_count, plan_moments
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Plan
from hyperfed.protocol.plan_checks import check_help_ends, check_helpers_stand
from hyperfed.secure_aggregation import HelperGroup, MaskContext, mask_message
from hyperfed.secure_aggregation.boxes import check_keys
from hyperfed.secure_aggregation.noised_effects import effects_vector
from hyperfed.secure_aggregation.noised_statistics import clipped_vector, noised_vector
from hyperfed.secure_aggregation.statistics_vector import has_counts, vector_of
from hyperfed.secure_aggregation.streams import Words
from hyperfed.storage.store import ObjectStore
from hyperfed.tables.tables import EdgeTable

__all__ = ["masked_message", "masked_operation", "masks_in_words", "second_masked", "send_masked"]

Sign = Callable[[Update], tuple[bytes, int, str]]
"""Signs an update: returns its envelope, its sequence and its digest in hexadecimal."""


def masked_operation(plan: Plan) -> str:
    """Return the name under which a round's masked message is kept."""
    return f"{plan.federation}/round/{plan.round}/masked"


def masked_message(
    update: Update,
    openings: OpeningReader,
    *,
    client_id: str,
    key_pair: KeyPair,
    sign: Sign,
    box_keys: BoxKeys,
    now: datetime,
    charge: Callable[[], PlannedRelease | None],
) -> KeptMessage:
    """Return the round's masked message with its boxes, signed.

    charge: charges the client's guard where the round's noise is in shares, and returns its
    release; it is asked once everything else is there. Raises RefusedError where fewer than q
    helpers have published a key, or where the numbers cannot be summed under masks, and
    RoundError where the round outlasts its helpers' keys; nothing is charged then.
    """
    plan, group = openings.plan.value, openings.group
    check_help_ends(plan, openings.reader.registry)
    check_helpers_stand(plan, openings.registry, openings.reader.registry)
    subject = f"update of {client_id} for round {plan.round}"
    _check_there(update, plan, subject)
    context = MaskContext(
        federation=plan.federation,
        registry_version=plan.registry_version,
        round=plan.round,
        plan_digest=openings.plan.digest,
        client=client_id,
        payload=PAYLOAD,
    )
    keys = openings.helper_keys()
    check_keys(group, keys)
    values = _numbers(update, plan, charge(), subject)
    message = mask_message(values, group, keys, context)
    until = openings.reader.registry.help_ends(plan.round)
    box_keys.keep(plan.round, message.sealed.ephemeral_keys, now=now, until=until)
    masked = Update(
        measured=np.arange(len(plan.vocabulary), dtype=np.uint32),
        edges=EdgeTable.empty(),
        claims=_attested(update, plan),
        lags=tuple(plan.policy.allowed_lags),
        masked=MaskedNumbers(values=message.values),
    )
    data, sequence, digest = sign(masked)
    boxes = MaskBoxes(
        federation=plan.federation,
        round=plan.round,
        client=client_id,
        registry_version=plan.registry_version,
        plan=openings.plan.digest,
        update=bytes.fromhex(digest),
        payload=PAYLOAD,
        length=len(values),
        commitments=tuple(message.sealed.commitments[names] for names in group.sets()),
        boxes=tuple(message.sealed.boxes.get(helper, b"") for helper in group.helpers),
        keys=tuple(keys.get(helper, b"") for helper in group.helpers),
    )
    return KeptMessage(
        operation=masked_operation(plan),
        sequence=sequence,
        digest=digest,
        edges=0,
        data=data,
        boxes=signed_part(boxes, PacketType.BOXES, sender=client_id, key_pair=key_pair, now=now),
    )


def _check_there(update: Update, plan: Plan, subject: str) -> None:
    """Raise RefusedError where an update has nothing of what the round sums."""
    payload = plan.policy.payload
    if (update.edges if payload == "edges" else update.statistics) is None:
        raise RefusedError(
            f"carries no {'whole table of edges' if payload == 'edges' else 'statistics'}",
            subject=subject,
            rule="R-160",
        )


def _numbers(update: Update, plan: Plan, night: PlannedRelease | None, subject: str) -> Words:
    """Return the numbers that the client masks, with its share of noise where `night` has some."""
    cohort = len(plan.cohort)
    if plan.policy.payload == "edges" and night is not None and update.edges is not None:
        return effects_vector(
            update.edges,
            night,
            vocabulary=plan.vocabulary,
            lags=plan.policy.allowed_lags,
            cohort=cohort,
            subject=subject,
        )
    if update.statistics is None:
        raise RefusedError("carries nothing that can be summed", subject=subject, rule="R-160")
    if night is not None:
        return noised_vector(update.statistics, night, cohort=cohort, subject=subject)
    variables, lags = len(plan.vocabulary), tuple(plan.policy.lags)
    if plan.policy.privacy == "central":
        return clipped_vector(
            update.statistics,
            plan_moments(plan.policy, variables),
            moments=moment_count(variables, lags),
            cohort=cohort,
            subject=subject,
        )
    return vector_of(
        update.statistics,
        variables=variables,
        cohort=cohort,
        counts=has_counts(plan.policy),
        subject=subject,
    )


def _attested(update: Update, plan: Plan) -> Claims:
    """Return what stands beside masked numbers: the record bound, where effects need one."""
    needed = plan.policy.payload == "edges" and plan.policy.record_bound > 0
    return Claims(record_bound=update.claims.record_bound) if needed else Claims()


def send_masked(store: ObjectStore, kept: KeptMessage, *, client_id: str, round_id: int) -> str:
    """Write a kept message, its boxes first, and return the update's key.

    Raises RefusedError where another message of this client lies there.
    """
    key = Keys.inbox(round_id, client_id, 0)
    boxes_there = written(store, Keys.boxes(round_id, client_id), kept.boxes)
    if not boxes_there or not written(store, key, kept.data):
        raise second_masked(client_id, round_id)
    return key


def second_masked(client_id: str, round_id: int) -> RefusedError:
    """Return the error for a second masked message in one round."""
    return RefusedError(
        f"round {round_id} has its masked message already",
        subject=f"client {client_id}",
        rule="R-164",
        remedy="Nothing was sent. A secure sum takes one message of each client: correct in the "
        "next round",
    )


def masks_in_words(group: HelperGroup, length: int, missing: Sequence[str]) -> str:
    """Return in words what masks do to the numbers of a message."""
    text = (
        f"{length} numbers of 64 bits, each plus the masks of {group.seeds} seeds: they look like "
        f"noise until {group.quorum} of the helpers {', '.join(group.helpers)} open the sum of "
        "all clients. Your own numbers are opened by nobody"
    )
    return text + (f". No key yet from {', '.join(missing)}" if missing else "")
