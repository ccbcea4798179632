"""Turn any object of the drop-box into a view for people to read.

A view says what the object holds, whether that is verified, and what could not be verified and why.

1. Verification comes first: the registry chain, the coordinator's objects, the ledger chain and
   clients' updates, each with the keys that may have signed it.
2. What does not verify is still shown as far as it can be read, marked as unverified with the
   reason. A sealed body is opened only with a key for it.
3. The key says what an object must be. Any other object there is an error.
4. A pack of `accepted/` is shown as a list of its updates, each verified. The key of a pack, a
   slash and an update's digest show that update.

What it does not do: list the store, or print (`inspect`).
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hyperfed.cli.operator.inspected_content import content_of
from hyperfed.cli.operator.inspected_openings import opening_part
from hyperfed.cli.operator.registry_view import summary_of
from hyperfed.cli.output import plain
from hyperfed.codec import PayloadCodec
from hyperfed.crypto.envelope import Header, PacketType, Signed, open_envelope, verify_envelope
from hyperfed.crypto.keys import KeyPair
from hyperfed.crypto.sealing import NOT_SEALED, open_body
from hyperfed.dropbox.reader import DropBoxReader
from hyperfed.errors import HyperfedError, RefusedError, SchemaError, SignatureError
from hyperfed.gossip.messages import decode_share
from hyperfed.gossip.sealed import verify_gossip
from hyperfed.hypergraph.global_model import GlobalModel
from hyperfed.links.bundle import verify_links
from hyperfed.packets import Update
from hyperfed.protocol.object_keys import ObjectKey, parse_inbox_key, parse_key
from hyperfed.protocol.objects import (
    Freeze,
    Plan,
    RoundState,
    Tombstone,
)
from hyperfed.protocol.packs import is_pack, read_pack
from hyperfed.protocol.receipt_objects import (
    Receipt,
    ReceiptPage,
)
from hyperfed.protocol.receipt_pages import open_page, open_receipt
from hyperfed.registry.registry import Registry

__all__ = ["View", "inspect_object"]

_KINDS: dict[str, tuple[list[PacketType], dict[str, type[Any]]]] = {
    "plan": ([PacketType.PLAN], {PacketType.PLAN: Plan}),
    "freeze": ([PacketType.FREEZE], {PacketType.FREEZE: Freeze}),
    "result": (
        [PacketType.RESULT, PacketType.TOMBSTONE],
        {PacketType.RESULT: GlobalModel, PacketType.TOMBSTONE: Tombstone},
    ),
    "state": ([PacketType.STATE], {PacketType.STATE: RoundState}),
    "receipts": ([PacketType.RECEIPT], {PacketType.RECEIPT: Receipt}),
}


# the fields of a receipt that are shown for a page of receipts
_TOLD = ("fate", "made_for", "sequence", "rule", "reason", "remedy", "weighing", "leaf")


@dataclass(slots=True, kw_only=True)
class View:
    """Holds what is shown of an object."""

    key: str
    """The key at which the object lies."""
    kind: str
    """What the object is, in words."""
    size: int
    """Number of its bytes."""
    sha256: str
    """Hexadecimal SHA-256 of its bytes."""
    verified: bool = False
    """Whether what it says is signed by whoever may say it."""
    why: str = ""
    """Why it is not verified, empty where it is."""
    header: dict[str, Any] | None = None
    """Its header; None where it has none or it cannot be read."""
    content: dict[str, Any] | None = None
    """What it says; None where that cannot be read."""
    notes: list[str] = field(default_factory=list)
    """What a reader should know besides."""

    def document(self) -> dict[str, Any]:
        """Return the view as plain data."""
        names = ("key", "kind", "size", "sha256", "verified", "why", "header", "content", "notes")
        return {name: plain(getattr(self, name)) for name in names}


def inspect_object(
    data: bytes, *, key: str, reader: DropBoxReader, keys_for: Callable[[], KeyPair | None]
) -> View:
    """Return the view of the object that lay at `key`.

    `keys_for` returns the pair that may open a sealed body. It is called only where there is one.
    """
    view = View(key=key, kind="object", size=len(data), sha256=hashlib.sha256(data).hexdigest())
    try:
        _fill(view, data, reader, keys_for)
    except HyperfedError as error:
        view.verified, view.why = False, str(error)
    if view.header is None:
        _unverified_header(view, data)
    return view


def _fill(
    view: View, data: bytes, reader: DropBoxReader, keys_for: Callable[[], KeyPair | None]
) -> None:
    key = view.key
    if match := re.fullmatch(r"registry/(\d{6})", key):
        view.kind = "registry"
        _registry(view, data, reader, int(match[1]))
    elif match := re.fullmatch(r"ledger/(\d{12})", key):
        view.kind = "ledger entry"
        _ledger(view, data, reader, int(match[1]))
    elif match := re.fullmatch(r"rounds/(\d{8})/(plan|freeze|result|state|receipts)(/[^/]+)?", key):
        view.kind = match[2].removesuffix("s") if match[2] == "receipts" else match[2]
        _coordinators_object(view, data, reader, int(match[1]), match[2])
    elif match := re.fullmatch(r"rounds/(\d{8})/receipt-pages/([0-9a-f]{2})", key):
        view.kind = "receipt page"
        _receipt_page(view, data, reader, keys_for, round_id=int(match[1]))
    elif match := re.fullmatch(r"rounds/(\d{8})/links/([^/]+)", key):
        view.kind = "links"
        _links(view, data, reader, int(match[1]), match[2])
    elif match := re.fullmatch(r"rounds/(\d{8})/accepted/([0-9a-f]{64})(?:/([0-9a-f]{64}))?", key):
        _accepted(
            view,
            data,
            reader,
            keys_for,
            round_id=int(match[1]),
            name=match[2],
            digest=match[3] or "",
        )
    elif key.startswith("inbox/"):
        view.kind = "update"
        made_for, client, _ = parse_inbox_key(key)
        _update(view, data, reader, keys_for, round_id=made_for, client=client, digest=None)
    elif (object_key := parse_key(key)).kind == "gossip":
        view.kind = "gossip"
        _gossip(view, data, reader, keys_for, place=object_key)
    elif object_key.kind == "openings":
        view.kind = "part of a secure sum"
        _verified(view, *opening_part(reader, key, object_key.round))
    elif key.startswith("rounds/") and "/scratch/" in key:
        view.kind = "scratch"
        view.why = (
            "left by a merge across machines, sealed by the coordinator for itself; "
            "nothing depends on it once the round has ended"
        )
    elif key.startswith("probe/"):
        view.kind = "probe"
        view.why = "left by the start-up check of the store; it is not signed and means nothing"
    else:
        view.why = "no object of the protocol has such a key"


def _registry(view: View, data: bytes, reader: DropBoxReader, version: int) -> None:
    _ = reader.registry
    registry = reader.registry_at(version)
    envelope = open_envelope(data, subject=view.key)
    if PayloadCodec().decode(envelope.body, Registry) != registry:
        raise SignatureError("changed while it was read", subject=view.key)
    root_keys = {r.key_id: r.signing for r in registry.roots}
    signed = verify_envelope(
        envelope,
        expect=PacketType.REGISTRY,
        key_of=root_keys.get,
        threshold=registry.threshold,
        subject=view.key,
    )
    _verified(view, signed, summary_of(registry))


def _ledger(view: View, data: bytes, reader: DropBoxReader, number: int) -> None:
    entries = reader.ledger()
    if number > len(entries):
        raise SignatureError(
            f"the ledger ends at entry {len(entries)}; this one does not belong to it",
            subject=view.key,
            rule="R-71",
        )
    chained = entries[number - 1]
    signed = verify_envelope(
        open_envelope(data, subject=view.key),
        expect=PacketType.LEDGER,
        key_of=reader.registry.coordinator_key,
        subject=view.key,
    )
    _verified(view, signed, plain(chained.entry))


def _coordinators_object(
    view: View, data: bytes, reader: DropBoxReader, round_id: int, name: str
) -> None:
    types, kinds = _KINDS[name]
    stored = reader.verify(data, key=view.key, types=types, kinds=kinds, round_id=round_id)
    if isinstance(stored.value, Tombstone):
        view.kind = "tombstone"
    _verified(view, stored.signed, content_of(stored.value))


def _receipt_page(
    view: View,
    data: bytes,
    reader: DropBoxReader,
    keys_for: Callable[[], KeyPair | None],
    *,
    round_id: int,
) -> None:
    """Show whose receipts a page holds, and the receipts that the keys open."""
    kinds: dict[str, type[Any]] = {PacketType.RECEIPT_PAGE: ReceiptPage}
    stored = reader.verify(
        data, key=view.key, types=[PacketType.RECEIPT_PAGE], kinds=kinds, round_id=round_id
    )
    page: ReceiptPage = stored.value
    keys, opened = keys_for(), dict[str, Receipt]()
    if keys is not None and keys.key_id in dict(page.boxes):
        opened |= open_page(page, keys, subject=view.key)
    elif keys is not None:
        readable_clients = [
            entry.client for entry in page.receipts if keys.key_id in dict(entry.boxes)
        ]
        opened |= {
            client: receipt
            for client in readable_clients
            if (receipt := open_receipt(page, client, keys, subject=view.key)) is not None
        }
    contents = {client: content_of(receipt) for client, receipt in opened.items()}
    rows = [
        {"client": entry.client}
        | {name: contents.get(entry.client, {}).get(name) for name in _TOLD}
        for entry in page.receipts
    ]
    _verified(
        view,
        stored.signed,
        {"federation": page.federation, "round": page.round, "page": page.page, "receipts": rows},
    )
    if len(opened) < len(rows):
        view.notes.append(
            "Receipts are sealed: a client's key opens its own, a coordinator's or an "
            "auditor's all of them (--open-with)"
        )


def _gossip(
    view: View,
    data: bytes,
    reader: DropBoxReader,
    keys_for: Callable[[], KeyPair | None],
    *,
    place: ObjectKey,
) -> None:
    """Show what a client left for its peers: its message in epoch 0, later a part of its vector."""
    signed = verify_gossip(
        data,
        registry=reader.registry,
        client=place.client,
        round_id=place.round,
        epoch=place.number,
    )
    content: dict[str, Any] = {"epoch": place.number}
    _verified(view, signed, content)
    try:
        body = open_body(signed, keys_for(), subject=view.key)
    except SignatureError:
        view.notes.append("Gossip is sealed to the epoch's peers and its sender (--open-with)")
        return
    if place.number:
        share = decode_share(bytes(body))
        content |= {"weight": share.weight, "values": [float(x) for x in share.values]}
    else:
        plan = reader.plan(place.round)
        vocabulary = None if plan is None else plan.value.vocabulary
        if vocabulary is not None and vocabulary.digest != signed.header.vocabulary:
            vocabulary = None  # the message was made by an earlier plan
        message = PayloadCodec(limits=reader.limits).decode(body, Update)
        content |= content_of(message, vocabulary)
    view.content = content


def _links(view: View, data: bytes, reader: DropBoxReader, round_id: int, client: str) -> None:
    registry = reader.registry
    signed = verify_links(
        data,
        federation=registry.federation,
        client=client,
        coordinator_key=registry.coordinator_key,
        round_id=round_id,
        subject=view.key,
    )
    _verified(view, signed, None)
    view.notes.append("The links are sealed to their client: only its key opens them")


def _accepted(
    view: View,
    data: bytes,
    reader: DropBoxReader,
    keys_for: Callable[[], KeyPair | None],
    *,
    round_id: int,
    name: str,
    digest: str,
) -> None:
    """Show a pack, one update of a pack, or an object that holds one update.

    The last is from before there were packs.
    """
    view.kind = "accepted update"
    if not is_pack(data):
        _update(view, data, reader, keys_for, round_id=None, client=None, digest=name)
        return
    view.kind = "pack of accepted updates"
    if view.sha256 != name:
        raise SignatureError("its SHA-256 is not the one in its key", subject=view.key, rule="R-66")
    updates = read_pack(data, subject=view.key)
    if digest:
        if bytes.fromhex(digest) not in updates:
            raise RefusedError(
                "the pack holds no such update",
                subject=view.key,
                remedy=f"List it with `hyperfed inspect rounds/{round_id:08d}/accepted/{name}`",
            )
        envelope = updates[bytes.fromhex(digest)]
        view.kind, view.size, view.sha256 = (
            "accepted update",
            len(envelope),
            hashlib.sha256(envelope).hexdigest(),
        )
        _update(view, envelope, reader, keys_for, round_id=None, client=None, digest=digest)
        return
    _pack(view, updates, reader, round_id=round_id, name=name)


def _pack(
    view: View, updates: dict[bytes, memoryview], reader: DropBoxReader, *, round_id: int, name: str
) -> None:
    rows: list[dict[str, Any]] = []
    for digest, envelope in updates.items():
        update_view = View(key=view.key, kind="accepted update", size=len(envelope), sha256="")
        try:
            _update(
                update_view,
                envelope,
                reader,
                lambda: None,
                round_id=None,
                client=None,
                digest=digest.hex(),
            )
        except HyperfedError as error:
            update_view.verified, update_view.why = False, str(error)
        header = update_view.header or {}
        fields = {field: header.get(field) for field in ("sender", "round", "sequence")}
        rows.append(
            {
                "update": digest.hex(),
                **fields,
                "bytes": update_view.size,
                "verified": update_view.verified,
                "why": update_view.why,
            }
        )
    wrong = [row for row in rows if not row["verified"]]
    view.content, view.header = {"updates": rows}, {}
    view.verified, view.why = (
        not wrong,
        f"{len(wrong)} of its {len(rows)} updates: {wrong[0]['why']}" if wrong else "",
    )
    frozen = reader.freeze(round_id)
    named = frozen is not None and bytes.fromhex(name) in frozen.value.packs
    view.notes.append(
        "The round's freeze names it" if named else "No freeze names it: nothing depends on it"
    )
    view.notes.append("The key, a slash and an update's digest show that update")


def _update(
    view: View,
    data: bytes | memoryview,
    reader: DropBoxReader,
    keys_for: Callable[[], KeyPair | None],
    *,
    round_id: int | None,
    client: str | None,
    digest: str | None,
) -> None:
    registry = reader.registry
    envelope = open_envelope(data, subject=view.key)
    registered_keys = {r.keys.key_id: (c.client_id, r) for c in registry.clients for r in c.keys}
    signers = [key_id for key_id, _ in envelope.signatures]
    if not any(key_id in registered_keys for key_id in signers):
        raise RefusedError(
            f"key {signers[0]:.40} is not registered",
            subject=view.key,
            rule="R-81",
            remedy=f"Check that key in registry version {registry.version}, which was used",
        )
    signed = verify_envelope(
        envelope,
        expect=PacketType.UPDATE,
        key_of=lambda key_id: (
            registered_keys[key_id][1].keys.signing if key_id in registered_keys else None
        ),
        subject=view.key,
    )
    header = signed.header
    _verified(view, signed, None)
    owner, record = registered_keys[header.key_id]
    if owner != header.sender or (client is not None and client != header.sender):
        raise RefusedError(
            f"signed with {owner}'s key as {header.sender:.40}", subject=view.key, rule="R-82"
        )
    if round_id is not None and header.round != round_id:
        raise RefusedError(f"made for round {header.round}", subject=view.key, rule="R-84")
    if not record.valid_in(header.round):
        raise RefusedError(
            f"the key is not valid in round {header.round}", subject=view.key, rule="R-81"
        )
    if digest is not None and signed.digest.hex() != digest:
        raise SignatureError("its digest is not the one in its key", subject=view.key, rule="R-66")
    _open(view, signed, reader, keys_for)


def _open(
    view: View, signed: Signed, reader: DropBoxReader, keys_for: Callable[[], KeyPair | None]
) -> None:
    """Show the body of a verified update, where it can be opened."""
    keys = None if signed.header.encryption == NOT_SEALED else keys_for()
    if signed.header.encryption != NOT_SEALED and keys is None:
        view.notes.append(
            "The body is sealed to the coordinator, and to auditors where there are any: it "
            "can be opened with their key only (--open-with FILE)"
        )
        return
    try:
        body = open_body(signed, keys, subject=view.key)
        update = PayloadCodec().decode(body, Update)
    except HyperfedError as error:
        view.notes.append(f"The body cannot be read: {error}")
        return
    plan = reader.plan(signed.header.round)
    vocabulary = (
        plan.value.vocabulary
        if plan is not None and plan.value.vocabulary.digest == signed.header.vocabulary
        else None
    )
    if vocabulary is None:
        view.notes.append(
            "The round's plan is not there, or has another vocabulary: variables are shown by index"
        )
    view.content = content_of(update, vocabulary)


def _verified(view: View, signed: Signed, content: dict[str, Any] | None) -> None:
    view.verified, view.header, view.content = True, _header(signed.header), content
    view.header["digest"] = signed.digest.hex()
    view.header["signers"] = list(signed.signers)


def _header(header: Header) -> dict[str, Any]:
    fields: dict[str, Any] = plain(header)
    return fields


def _unverified_header(view: View, data: bytes) -> None:
    """Show what an envelope claims, where nothing vouches for it."""
    try:
        envelope = open_envelope(data, subject=view.key)
        view.header = {
            "type": envelope.type,
            "signers": [key_id for key_id, _ in envelope.signatures],
        }
        view.header |= _header(Header.from_bytes(envelope.header_bytes))
        view.notes.append("The header is shown as it claims to be: nothing vouches for it")
    except SchemaError as error:
        view.notes.append(f"It is no Hyperfed envelope: {error.problem}")
    except HyperfedError as error:
        view.notes.append(f"Its header cannot be read: {error}")
