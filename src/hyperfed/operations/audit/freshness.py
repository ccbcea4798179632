"""Check by which registry versions rounds were frozen, and who counted after a revocation.

1. A freeze is made before its registry version expires (R-122).
2. No update that it counts proves to have seen a newer version: the coordinator would have used an
   old list although it could know better (R-121). `audit_freeze` reads the updates.
3. A client that a later version revokes for that round is remarked on: the revocation came after
   the freeze, or the coordinator did not see it.
"""

from datetime import timedelta

from hyperfed.operations.audit.context import AuditContext, require
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Freeze

__all__ = ["audit_freshness", "remark_expired"]


def audit_freshness(context: AuditContext, freeze: Freeze) -> None:
    """Check the registry version of a committed round's freeze, and remark on who was revoked."""
    key, reader = Keys.freeze(freeze.round), context.reader
    with context.finding(key):
        expires = reader.registry_at(freeze.registry_version).expires
        skew = timedelta(seconds=context.limits.clock_skew_s)
        require(
            expires is None or freeze.time - skew < expires,
            key,
            f"is of registry version {freeze.registry_version}, which had expired",
            "R-122",
        )
    newest = reader.registry
    speaking = set(newest.clients_in(freeze.round))
    for client in (c.client for c in freeze.counted if c.client not in speaking):
        version = next(
            v
            for v in range(freeze.registry_version + 1, newest.version + 1)
            if client not in reader.registry_at(v).clients_in(freeze.round)
        )
        issued = reader.registry_at(version).issued
        context.remarks.append(
            f"round {freeze.round}, frozen at {freeze.time:%Y-%m-%d %H:%M}, counts {client}, whom "
            f"registry version {version} of {issued:%Y-%m-%d %H:%M} revokes for that round"
        )


def remark_expired(context: AuditContext) -> None:
    """Add a remark where the newest version has expired."""
    registry, now = context.reader.registry, context.reader.now
    if now is not None and registry.expires is not None and registry.expires <= now:
        context.remarks.append(
            f"registry version {registry.version} expired at {registry.expires.isoformat()}: the "
            "roots have not renewed it, or somebody holds a newer one back"
        )
