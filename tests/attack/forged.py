"""What a thief of the coordinator's key can write: a plan that says anything at all."""

from dataclasses import replace
from typing import Any

from hyperfed.crypto.envelope import PacketType
from hyperfed.protocol.digests import policy_digest
from hyperfed.protocol.documents import make_plan, sign_object
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Plan
from hyperfed.testing.federation import SmallFederation


def forge_plan(fed: SmallFederation, round_id: int, **changes: Any) -> Plan:
    """Write the plan that an honest coordinator would write, but for `changes`."""
    reader = fed.reader()
    commits = [c for c in reader.ledger() if c.entry.kind is EntryKind.COMMIT]
    honest, _ = make_plan(
        registry=replace(reader.registry, floors=None),
        registry_digest=reader.registry_digest,
        round_id=round_id,
        policy=fed.policy,
        vocabulary=fed.vocabulary,
        quorum=None,
        newest_commit=commits[-1] if commits else None,
        key_pair=fed.coordinator,
    )
    forged = replace(honest, **changes)
    write = sign_object(
        Keys.plan(round_id),
        PacketType.PLAN,
        forged,
        key_pair=fed.coordinator,
        time=forged.opens,
        policy=policy_digest(forged.policy),
        vocabulary=forged.vocabulary.digest,
    )
    assert fed.store.put_if_absent(write.key, write.data)
    return forged
