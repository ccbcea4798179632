"""Grant each role the least access to a drop-box, as IAM policies and SeaweedFS identities.

1. `access_of` says once which keys a role reads, which it creates, and which it may erase. The two
   forms only spell that out.
2. A client creates objects in its own inbox and reads what is meant for it. `accepted/`, `state`,
   `scratch/`, and others' inboxes and receipts stay closed to it (DESIGN 3). It creates its own
   gossip and may read all of it: what others leave there is sealed to their peers.
3. In AWS's form a write is allowed only where it creates (condition key `s3:if-none-match`), so
   that not even a stolen key overwrites an object. MinIO refuses a policy with a condition key that
   it does not know, and Ceph's gateway does not list this one, so their form has no condition.
4. In `openings/` a client creates what bears its own name: boxes and rebuttals and, as a helper,
   keys, confirmations, answers and refusals. A helper also reads the freeze and all openings.
5. Everybody may list. Without that right a store answers 403 instead of 404 for a missing object.
   A listing shows names and sizes, and no content.

What it does not do: create users or keys, or talk to a cloud.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hyperfed.errors import ConfigError
from hyperfed.protocol.object_keys import page_of
from hyperfed.registry.windows import check_client_id

__all__ = ["Access", "Role", "access_of", "aws_policy", "seaweedfs_actions"]


class Role(StrEnum):
    """Names whose access it is."""

    COORDINATOR = "coordinator"
    CLIENT = "client"
    HELPER = "helper"
    AUDITOR = "auditor"
    ROOTS = "roots"
    HOUSEKEEPING = "housekeeping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Says what a role may do, as patterns of object keys in which "*" stands for any text."""

    reads: tuple[str, ...]
    """The keys that it may read."""
    creates: tuple[str, ...] = ()
    """The keys that it may create."""
    erases: tuple[str, ...] = ()
    """The keys that it may erase."""


def access_of(role: Role, *, client: str | None = None, links: bool = False) -> Access:
    """Return what a role needs and nothing more.

    `client` is the id of the client or helper, for those roles only. With `links`, the coordinator
    may also create in inboxes, because it presigns clients' writes. Raises ConfigError where the
    client's id is missing, out of place or malformed.
    """
    if (role in (Role.CLIENT, Role.HELPER)) != (client is not None):
        raise ConfigError(
            "a client's or helper's policy, and only that, needs a client's id",
            subject=f"role {role.value}",
            remedy="Give --client-id with --role client or helper",
        )
    match role:
        case Role.COORDINATOR:
            return Access(
                reads=("*",),
                creates=(
                    "rounds/*",
                    "ledger/*",
                    "probe/*",
                    "prefect/*",
                    *(("inbox/*", "gossip/*") if links else ()),
                ),
            )
        case Role.HOUSEKEEPING:
            return Access(
                reads=("*",),
                creates=("pruned/*",),
                erases=(
                    "inbox/*",
                    "gossip/*",
                    "prefect/stages/*",
                    "rounds/*/scratch/*",
                    "rounds/*/noise",
                ),
            )
        case Role.ROOTS:
            # publishing a registry probes the store first
            return Access(reads=("registry/*", "probe/*"), creates=("registry/*", "probe/*"))
        case Role.AUDITOR:
            return Access(reads=("*",))
    client_id = check_client_id(client or "")
    parts = "rounds/*/openings"
    # by one pattern, since AWS bounds a policy: a helper's part counts for nobody but a helper
    own: tuple[str, ...] = (f"{parts}/*/{client_id}",)
    # what it seals its seeds to, and who refused them
    read: tuple[str, ...] = (f"{parts}/keys/*", f"{parts}/confirmed/*", *own)
    if role is Role.HELPER:
        # what it checks before it answers: the freeze, and what all others leave
        read = ("rounds/*/freeze", f"{parts}/*")
    return Access(
        reads=(
            "registry/*",
            "ledger/*",
            "rounds/*/plan",
            "rounds/*/result",
            f"rounds/*/links/{client_id}",
            f"rounds/*/receipts/{client_id}",
            f"rounds/*/receipt-pages/{page_of(client_id):02x}",
            f"inbox/*/{client_id}/*",
            "gossip/*",
            *read,
        ),
        creates=(f"inbox/*/{client_id}/*", f"gossip/*/*/{client_id}", *own),
    )


def aws_policy(
    access: Access, *, bucket: str, prefix: str = "", create_only: bool = True
) -> dict[str, Any]:
    """Return the IAM policy document that grants an access to one bucket, below `prefix`.

    Without `create_only`, a write need not be create-only: for stores that do not know AWS's
    condition.
    """
    inside = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    arn = f"arn:aws:s3:::{bucket}"
    statements: list[dict[str, Any]] = [
        {"Sid": "List", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": arn},
        {
            "Sid": "Read",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": [f"{arn}/{inside}{k}" for k in access.reads],
        },
    ]
    if access.creates:
        statement: dict[str, Any] = {
            "Sid": "CreateOnly" if create_only else "Create",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": [f"{arn}/{inside}{k}" for k in access.creates],
        }
        if create_only:
            statement["Condition"] = {"Null": {"s3:if-none-match": "false"}}
        statements.append(statement)
    if access.erases:
        statements.append(
            {
                "Sid": "Prune",
                "Effect": "Allow",
                "Action": "s3:DeleteObject",
                "Resource": [f"{arn}/{inside}{k}" for k in access.erases],
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}


def seaweedfs_actions(access: Access, *, bucket: str, prefix: str = "") -> list[str]:
    """Return the actions of a SeaweedFS identity with this access.

    SeaweedFS knows no create-only condition. There, only the protocol's own create-only writes keep
    objects from being replaced.
    """
    inside = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    reads = [f"Read:{bucket}/{inside}{key}" for key in access.reads]
    return [
        f"List:{bucket}",
        *reads,
        *(
            f"Write:{bucket}/{inside}{key}"
            for key in dict.fromkeys((*access.creates, *access.erases))
        ),
    ]
