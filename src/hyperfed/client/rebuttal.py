"""Answer helpers that refused this client's boxes: publish the boxes' keys, at most t (R-199).

1. Only helpers that have refused the boxes are answered, and at most t of them, once a round.
2. What the keys show is looked at first. A client that would show itself to be wrong publishes
   nothing.
3. The round's other keys are erased before the answer is offered to the drop-box, which sees also
   what it says is lost: a repeat answers the same helpers. Once the answer lies there, all are.

What it does not do: change the round, which goes on without whom a helper refused.
"""

from collections.abc import Sequence
from datetime import datetime

from hyperfed.client.own_slots import written
from hyperfed.client.session import ClientSession
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox.opening_objects import Rebuttal
from hyperfed.dropbox.openings import OpeningReader, signed_part
from hyperfed.dropbox.rebuttals import HELPER, Verdict, accusers_of, judged
from hyperfed.errors import RefusedError
from hyperfed.protocol.object_keys import Keys

__all__ = ["rebut"]


def rebut(
    session: ClientSession, round_id: int, *, helpers: Sequence[str] = (), now: datetime
) -> tuple[Verdict, ...]:
    """Publish the keys of the boxes that helpers refused, and return who was wrong.

    `helpers` are all that have refused them unless named. Raises RefusedError where nobody has, for
    more than t of them, where the keys are gone, where they would show that this client is wrong,
    or where it has answered already; RoundError for a round that is not open.
    """
    client, reader = session.client_id, session.reader
    reader.now = now
    openings = OpeningReader(reader, session.plan(round_id))
    subject = f"{client} in round {round_id}"
    accusers, most = accusers_of(openings, client), openings.group.colluding_helpers
    chosen = sorted(set(helpers) or set(accusers))
    if not chosen or not set(chosen) <= set(accusers):
        strangers = sorted(set(chosen) - set(accusers))
        raise RefusedError(
            f"was not refused by {', '.join(strangers) or 'any helper'}",
            subject=subject,
            rule="R-199",
            remedy="Nothing was published. Only helpers that refused the boxes are answered",
        )
    if len(chosen) > most:
        raise RefusedError(
            f"would publish the keys of {len(chosen)} boxes, for {', '.join(chosen)}; with more "
            f"than {most} its seeds would be known",
            subject=subject,
            rule="R-199",
            remedy="Nothing was published. Choose with --helper whom to answer",
        )
    keys = session.memory.box_keys.of(round_id, now=now)
    if not set(chosen) <= set(keys):
        raise RefusedError(
            "the keys of its boxes are not here",
            subject=subject,
            rule="R-199",
            remedy="They lie on the machine that sent, until it answers or the helpers' keys of "
            "the round are erased. Who has answered some helpers answers no others",
        )
    published = {helper: keys[helper] for helper in chosen}
    verdicts = judged(openings, client, published)
    against = [verdict for verdict in verdicts if verdict.wrong != HELPER]
    if against:
        raise RefusedError(
            f"would not show that {against[0].helper} was wrong: {against[0].why}",
            subject=subject,
            rule="R-199",
            remedy="Nothing was published",
        )
    boxes = openings.mask_boxes(client)
    value = Rebuttal(
        federation=openings.plan.value.federation,
        round=round_id,
        client=client,
        plan=openings.plan.digest,
        accused=b"" if boxes is None else boxes.digest,
        published=tuple(published.items()),
    )
    data = signed_part(
        value, PacketType.REBUTTAL, sender=client, key_pair=session.key_pair, now=now
    )
    session.memory.box_keys.keep_only(round_id, chosen, now=now)
    if not written(session.store, Keys.rebuttal(round_id, client), data):
        raise RefusedError(
            "has answered already, and does so once a round",
            subject=subject,
            rule="R-199",
            remedy="Nothing was published. `hyperfed inspect` shows what lies there",
        )
    session.memory.box_keys.erase(round_id, now=now)
    return verdicts
