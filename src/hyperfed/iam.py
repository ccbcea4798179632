"""Least-privilege access of each role in a drop-box, as AWS IAM policies and as SeaweedFS identities.

1. `access_of` says it once: which keys a role reads, which it creates, which it may erase. The two forms are only spellings of it.
2. Clients create in their own inbox and read what is meant for them; `accepted/`, `state`, `scratch/`, others' inboxes and receipts stay closed (DESIGN 3).
3. In AWS's form a write is allowed only as create-only (condition key `s3:if-none-match`): not even a stolen key overwrites an object.
4. Everybody lists: a store answers 403 instead of 404 where a missing object is asked for without it. Listing shows names and sizes, no content.

What it does not do: create users or keys, or talk to a cloud.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hyperfed.errors import ConfigError
from hyperfed.rounds import check_client_id, page_of

__all__ = ["Access", "Role", "access_of", "aws_policy", "seaweedfs_actions"]


class Role(StrEnum):
    """Who asks."""

    COORDINATOR = "coordinator"
    CLIENT = "client"
    AUDITOR = "auditor"
    ROOTS = "roots"
    HOUSEKEEPING = "housekeeping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Key patterns ("*" for any text): reads, creates, erases."""

    reads: tuple[str, ...]
    creates: tuple[str, ...] = ()
    erases: tuple[str, ...] = ()


def access_of(role: Role, *, client: str | None = None, links: bool = False) -> Access:
    """What a role needs and nothing more. client: a client's id; links: the coordinator also presigns clients' writes. Raises ConfigError."""
    if (role is Role.CLIENT) != (client is not None):
        raise ConfigError("a client's policy, and only that, needs a client's id", subject=f"role {role.value}", remedy="Give --client-id with --role client")
    match role:
        case Role.COORDINATOR:
            return Access(reads=("*",), creates=("rounds/*", "ledger/*", "probe/*", "prefect/*", *(("inbox/*",) if links else ())))
        case Role.HOUSEKEEPING:
            return Access(reads=("*",), creates=("pruned/*",), erases=("inbox/*", "prefect/stages/*", "rounds/*/scratch/*"))
        case Role.ROOTS:
            return Access(reads=("registry/*", "probe/*"), creates=("registry/*", "probe/*"))  # publishing proves the store first
        case Role.AUDITOR:
            return Access(reads=("*",))
    own = check_client_id(client or "")
    return Access(
        reads=(
            "registry/*",
            "ledger/*",
            "rounds/*/plan",
            "rounds/*/result",
            f"rounds/*/links/{own}",
            f"rounds/*/receipts/{own}",
            f"rounds/*/receipt-pages/{page_of(own):02x}",
            f"inbox/*/{own}/*",
        ),
        creates=(f"inbox/*/{own}/*",),
    )


def aws_policy(access: Access, *, bucket: str, prefix: str = "") -> dict[str, Any]:
    """The IAM policy document."""
    inside = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    arn = f"arn:aws:s3:::{bucket}"
    statements: list[dict[str, Any]] = [
        {"Sid": "List", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": arn},
        {"Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject", "Resource": [f"{arn}/{inside}{k}" for k in access.reads]},
    ]
    if access.creates:
        statements.append(
            {
                "Sid": "CreateOnly",
                "Effect": "Allow",
                "Action": "s3:PutObject",
                "Resource": [f"{arn}/{inside}{k}" for k in access.creates],
                "Condition": {"Null": {"s3:if-none-match": "false"}},
            }
        )
    if access.erases:
        statements.append({"Sid": "Prune", "Effect": "Allow", "Action": "s3:DeleteObject", "Resource": [f"{arn}/{inside}{k}" for k in access.erases]})
    return {"Version": "2012-10-17", "Statement": statements}


def seaweedfs_actions(access: Access, *, bucket: str, prefix: str = "") -> list[str]:
    """The actions of a SeaweedFS identity. It knows no create-only condition: there, the protocol's own writes are what keeps objects as they are."""
    inside = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    reads = [f"Read:{bucket}/{inside}{key}" for key in access.reads]
    return [f"List:{bucket}", *reads, *(f"Write:{bucket}/{inside}{key}" for key in dict.fromkeys((*access.creates, *access.erases)))]
