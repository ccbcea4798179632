"""Make the object keys of the drop-box, and take them apart (DESIGN section 3).

1. `Keys` makes every key that is written, and `parse_key` takes every key apart. No other module
   looks into one.
2. Keys have one form: what `Keys` would not have made is no key of the protocol.
3. An inbox is its clients' own. Any key in it belongs in a drop-box, and admission judges it;
   `parse_inbox_key` says whether an honest client would have written there.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from hyperfed.errors import SchemaError
from hyperfed.registry.windows import is_client_id

__all__ = [
    "SLOTS",
    "Keys",
    "ObjectKey",
    "client_of",
    "folders_of",
    "page_of",
    "parse_inbox_key",
    "parse_key",
    "top_of",
]

SLOTS = 4  # how often a client may correct itself in one round


def page_of(client: str) -> int:
    """Return the number of the page that holds a client's receipt, 0 to 255 (R-44).

    It is the first byte of the SHA-256 of the client's id.
    """
    return hashlib.sha256(client.encode()).digest()[0]


class Keys:
    """Makes the object keys of DESIGN section 3.

    Only these are ever written.
    """

    @staticmethod
    def registry(version: int) -> str:
        """Return the key of a version of the registry."""
        return f"registry/{version:06d}"

    @staticmethod
    def plan(round_id: int) -> str:
        """Return the key of a round's plan."""
        return f"rounds/{round_id:08d}/plan"

    @staticmethod
    def links(round_id: int, client: str) -> str:
        """Return the key of the links that a client gets for a round."""
        return f"rounds/{round_id:08d}/links/{client}"

    @staticmethod
    def inbox(round_id: int, client: str | None = None, slot: int | None = None) -> str:
        """Return the key of an update, or the prefix of a client's or of a whole round's inbox."""
        parts = (
            [f"inbox/{round_id:08d}/"]
            + ([f"{client}/"] if client else [])
            + ([str(slot)] if slot is not None else [])
        )
        return "".join(parts)

    @staticmethod
    def gossip(round_id: int, epoch: int | None = None, client: str | None = None) -> str:
        """Return the key of what a client leaves for its peers in an epoch of a round.

        Without `client` it is the prefix of an epoch, without `epoch` that of a whole round.
        """
        parts = (
            [f"gossip/{round_id:08d}/"]
            + ([f"{epoch:02d}/"] if epoch is not None else [])
            + ([client] if client else [])
        )
        return "".join(parts)

    @staticmethod
    def accepted(round_id: int, digest: bytes) -> str:
        """Return the key of what lies in a round's `accepted/` under this digest."""
        return f"rounds/{round_id:08d}/accepted/{digest.hex()}"

    @staticmethod
    def scratch(round_id: int, folder: str = "") -> str:
        """Return the prefix of what a merge across machines keeps for itself (`dropbox.scratch`).

        With `folder` it is the prefix of a folder in it.
        """
        return f"rounds/{round_id:08d}/scratch/" + (f"{folder}/" if folder else "")

    @staticmethod
    def freeze(round_id: int) -> str:
        """Return the key of a round's freeze."""
        return f"rounds/{round_id:08d}/freeze"

    @staticmethod
    def noise(round_id: int) -> str:
        """Return the key of the seed of a round's noise."""
        return f"rounds/{round_id:08d}/noise"

    @staticmethod
    def helper_key(round_id: int, helper: str) -> str:
        """Return the key of a helper's sealing key of a round."""
        return f"rounds/{round_id:08d}/openings/keys/{helper}"

    @staticmethod
    def boxes(round_id: int, client: str | None = None) -> str:
        """Return the key of a client's seeds for the helpers, or the prefix of those of all."""
        return f"rounds/{round_id:08d}/openings/boxes/{client or ''}"

    @staticmethod
    def confirmation(round_id: int, helper: str) -> str:
        """Return the key of what a helper confirms before the freeze."""
        return f"rounds/{round_id:08d}/openings/confirmed/{helper}"

    @staticmethod
    def manifest(round_id: int) -> str:
        """Return the key of the manifest that helpers answer."""
        return f"rounds/{round_id:08d}/openings/manifest"

    @staticmethod
    def opening(round_id: int, helper: str) -> str:
        """Return the key of a helper's answer to the round's manifest."""
        return f"rounds/{round_id:08d}/openings/sums/{helper}"

    @staticmethod
    def helper_refusal(round_id: int, helper: str) -> str:
        """Return the key of a helper's refusal to answer the round's manifest."""
        return f"rounds/{round_id:08d}/openings/refused/{helper}"

    @staticmethod
    def rebuttal(round_id: int, client: str) -> str:
        """Return the key of what an accused client publishes of its boxes."""
        return f"rounds/{round_id:08d}/openings/rebuttals/{client}"

    @staticmethod
    def result(round_id: int) -> str:
        """Return the key of a round's result or tombstone."""
        return f"rounds/{round_id:08d}/result"

    @staticmethod
    def state(round_id: int) -> str:
        """Return the key of a round's state."""
        return f"rounds/{round_id:08d}/state"

    @staticmethod
    def receipt(round_id: int, client: str) -> str:
        """Return the key of a client's own receipt of a round."""
        return f"rounds/{round_id:08d}/receipts/{client}"

    @staticmethod
    def receipt_page(round_id: int, number: int | None = None) -> str:
        """Return the key of a page of receipts, or the prefix of all pages of a round."""
        return f"rounds/{round_id:08d}/receipt-pages/" + ("" if number is None else f"{number:02x}")

    @staticmethod
    def pruned(number: int) -> str:
        """Return the key of a record of what housekeeping erased, by its number."""
        return f"pruned/{number:06d}"

    @staticmethod
    def ledger(sequence: int) -> str:
        """Return the key of a ledger entry, by its number."""
        return f"ledger/{sequence:012d}"


_DIGITS = re.compile(r"[0-9]{1,15}")
_OPENINGS = ("keys", "boxes", "confirmed", "sums", "refused", "rebuttals")
_DIGEST, _PAGE = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{2}")
_EPOCH = re.compile(r"[0-9]{2}")
_INBOX_KEY = re.compile(r"inbox/([0-9]{8,15})/([a-z0-9][a-z0-9_-]{2,31})/([0-9])")


@lru_cache(maxsize=64)
def parse_inbox_key(key: str) -> tuple[int, str, int]:
    """Return (round, client, slot) of an inbox key.

    Results are cached, since a key is parsed several times while its object is judged. Raises
    SchemaError for a key that no honest client writes.
    """
    match = _INBOX_KEY.fullmatch(key)
    if match is not None:
        round_id, client, slot = int(match[1]), match[2], int(match[3])
        if Keys.inbox(round_id, client, slot) == key and slot < SLOTS and round_id > 0:
            return round_id, client, slot
    raise SchemaError(
        "not an inbox key",
        subject=ascii(key)[:120],
        rule="R-82",
        remedy=f"Write it as inbox/{{round:08d}}/{{client}}/{{slot}} with slot 0 to {SLOTS - 1}",
    )


def client_of(key: str) -> str:
    """Return the client in whose inbox an object lies, "" where no honest client writes."""
    try:
        return parse_inbox_key(key)[1]
    except SchemaError:
        return ""


def folders_of(key: str) -> list[str]:
    """Return the names of the folders that an object lies in, the outermost first."""
    return key.split("/")[:-1]


def top_of(key: str, depth: int) -> str:
    """Return the folder of `depth` names that a key begins with, or a key that is no longer."""
    return "/".join(key.split("/", depth)[:depth])


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKey:
    """Holds what a key says of its object."""

    kind: str
    """The kind of object: `registry`, `ledger`, `pruned`, `inbox`, `gossip`, `probe`, `stage`, or
    the name that follows the round's folder, such as `plan` or `receipts`. It is empty where the
    protocol has no such key.
    """
    round: int = 0
    """The round whose folder the object lies in, 0 for none. It is known where `kind` is not."""
    client: str = ""
    """The client that a receipt, links, an update, gossip or a part of an opening are of, or empty.
    """
    number: int = -1
    """The number of a registry version, a ledger entry, a record, a page or an epoch, or -1."""


def parse_key(key: str) -> ObjectKey:
    """Take a key apart. Every string has an answer."""
    parts = key.split("/")
    match parts:
        case ["probe", _, *_]:
            return ObjectKey(kind="probe")
        case ["inbox", _, *rest]:
            return ObjectKey(
                kind="inbox", round=_round(parts[1]) if rest else 0, client=client_of(key)
            )
        case ["gossip", digits, epoch, client] if _EPOCH.fullmatch(epoch) and is_client_id(client):
            number, made_for = int(epoch), _round(digits)
            real = made_for > 0 and Keys.gossip(made_for, number, client) == key
            return ObjectKey(
                kind="gossip" if real else "", round=made_for, client=client, number=number
            )
        # the coordinator's flows remember stage results here, outside the protocol
        case ["prefect", "stages", "rounds", number, _, *_]:
            return ObjectKey(kind="stage", round=_round(number))
        case ["prefect", "stages", _, *_]:
            return ObjectKey(kind="stage")
        case ["registry" | "ledger" | "pruned" as kind, digits] if _DIGITS.fullmatch(digits):
            key_of = {"registry": Keys.registry, "ledger": Keys.ledger, "pruned": Keys.pruned}[kind]
            return ObjectKey(kind=kind if key_of(int(digits)) == key else "", number=int(digits))
        case ["rounds", digits, *names] if names and _round(digits):
            return _of_a_round(key, _round(digits), names)
    return ObjectKey(kind="")


def _round(digits: str) -> int:
    return int(digits) if _DIGITS.fullmatch(digits) else 0


def _of_a_round(key: str, round_id: int, names: list[str]) -> ObjectKey:
    """Take the rest of a key in a round's folder apart."""
    kind, client, number = "", "", -1
    match names:
        case ["plan" | "freeze" | "noise" | "result" | "state" as name]:
            kind = name
        case ["accepted" as name, digest] if _DIGEST.fullmatch(digest):
            kind = name
        case ["openings" as name, "manifest"]:
            kind = name
        case ["openings" as name, part, whose] if part in _OPENINGS and is_client_id(whose):
            kind, client = name, whose
        # a merge's scratch objects are sealed for the coordinator, until housekeeping erases them
        case ["scratch" as name, _, _, _, *_]:
            kind = name
        case ["receipt-pages" as name, page] if _PAGE.fullmatch(page):
            kind, number = name, int(page, 16)
        case ["receipts" | "links" as name, whose] if is_client_id(whose):
            kind, client = name, whose
    if not key.startswith(f"rounds/{round_id:08d}/"):
        kind = ""
    return ObjectKey(kind=kind, round=round_id, client=client, number=number)
