"""Say who was wrong where a helper refused a client's boxes: the client, or the helper (R-199).

1. The accused client publishes the ephemeral key of its box for the helper. Everybody can then
   compute the box again from it and the helper's published key: what it holds, and whether that
   matches what the client has committed to.
2. The helper's confirmation names the boxes that it refused by digest. Where other boxes lie there
   now, or the box was sealed to another key than the helper's that lies there, somebody has signed
   two: nobody can say who, and nobody is blamed.
3. An honest client answers only helpers that lied about it. Those are among the t that collude,
   and their boxes tell them nothing new; no more than t are ever published.

What it does not do: read or write rebuttals (`openings`, `client.rebuttal`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hyperfed.dropbox.openings import OpeningReader
from hyperfed.errors import SignatureError
from hyperfed.secure_aggregation import check_seeds, open_published_box

__all__ = ["CLIENT", "HELPER", "NOBODY", "Verdict", "accusers_of", "judged", "verdicts_on"]

CLIENT, HELPER, NOBODY = "client", "helper", "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Says who was wrong about one box."""

    helper: str
    """The helper that refused it."""
    wrong: str
    """`client` or `helper`; `nobody` where it cannot be said."""
    why: str
    """What was found, in words."""

    @property
    def said(self) -> str:
        """The whole in words."""
        named = "nobody can say who was" if self.wrong == NOBODY else f"the {self.wrong} was"
        return f"{named} wrong: {self.why}"


def accusers_of(openings: OpeningReader, client: str) -> dict[str, str]:
    """Return why helpers refused the boxes of a client, by helper."""
    parts = {helper: openings.confirmation(helper) for helper in openings.group.helpers}
    return {
        helper: reason
        for helper, part in parts.items()
        for name, reason in (() if part is None else part.value.refused)
        if name == client
    }


def verdicts_on(openings: OpeningReader, client: str) -> tuple[Verdict, ...]:
    """Return who was wrong about each box whose key a client has published; none without it."""
    rebuttal = openings.rebuttal(client)
    return () if rebuttal is None else judged(openings, client, dict(rebuttal.value.published))


def judged(
    openings: OpeningReader, client: str, published: Mapping[str, bytes]
) -> tuple[Verdict, ...]:
    """Return who was wrong about the boxes of these helpers, by their ephemeral keys."""
    verdicts = []
    for helper, ephemeral_key in sorted(published.items()):
        wrong, why = _verdict(openings, client, helper, ephemeral_key)
        verdicts.append(Verdict(helper=helper, wrong=wrong, why=why))
    return tuple(verdicts)


def _verdict(
    openings: OpeningReader, client: str, helper: str, ephemeral_key: bytes
) -> tuple[str, str]:
    boxes, confirmation = openings.mask_boxes(client), openings.confirmation(helper)
    refused = {} if confirmation is None else dict(confirmation.value.refused_boxes)
    if boxes is None or client not in refused:
        return NOBODY, "the helper has refused no boxes of this client that can be read"
    if refused[client] != boxes.digest:
        return NOBODY, "the helper refused other boxes than lie there: somebody has changed them"
    group, helper_key = openings.group, openings.helper_key(helper)
    at = group.helpers.index(helper)
    if helper_key is None or boxes.value.keys[at] != helper_key:
        return NOBODY, "the box was sealed to another key of the helper than lies there"
    box = boxes.value.boxes[at]
    try:
        seeds = open_published_box(box, helper, group, helper_key, ephemeral_key)
    except SignatureError as error:
        return CLIENT, error.problem
    commitments = dict(zip(group.sets(), boxes.value.commitments, strict=True))
    if wrong := check_seeds(seeds, commitments, boxes.value.context):
        return CLIENT, f"{len(wrong)} seeds in the box are not those that it committed to"
    return HELPER, "the box opens with the helper's key, and holds the seeds that were committed to"
