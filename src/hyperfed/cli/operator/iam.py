"""Implement `hyperfed iam`, which prints the least-privilege policy of a role.

The command creates nothing, and needs no drop-box.
"""

import json
from typing import Any
from urllib.parse import urlsplit

import click

from hyperfed.cli.invocation import Invocation, pass_invocation
from hyperfed.cli.lazy import Command
from hyperfed.cli.options import client_options, output_options, store_options
from hyperfed.errors import ConfigError

__all__ = ["iam"]

_ROLES = ("coordinator", "client", "auditor", "roots", "housekeeping")


@click.command(cls=Command)
@click.option(
    "--role",
    type=click.Choice(_ROLES),
    required=True,
    help="The role; a client's policy needs --client-id.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["aws", "minio", "ceph", "seaweedfs"]),
    default="aws",
    show_default=True,
    help="The format: an IAM policy, for MinIO and Ceph without AWS's condition that writes only "
    "create, or the actions of an identity of SeaweedFS.",
)
@click.option(
    "--presigns",
    is_flag=True,
    help="The coordinator also presigns writes for clients without a cloud account.",
)
@client_options
@store_options
@output_options
@pass_invocation
def iam(invocation: Invocation, role: str, form: str, presigns: bool) -> None:
    """Print the policy that grants a role its rights in the bucket.

    A role may read the objects meant for it and create its own. AWS's policies also keep it from
    overwriting: other stores know no such condition, and there only the protocol's own writes are
    create-only.

    \b
      hyperfed iam --role coordinator --store s3://fed/prod
      hyperfed iam --role client --client-id hospital-1 --store s3://fed/prod
      hyperfed iam --role client --client-id hospital-1 --store s3://fed --format minio
    """
    from hyperfed.operations.access import Role, access_of, aws_policy, seaweedfs_actions

    url = urlsplit(invocation.settings.need("store.url"))
    if url.scheme != "s3" or not url.netloc:
        raise ConfigError(
            "policies are for buckets",
            subject=url.geturl()[:120],
            remedy="Give --store s3://bucket/prefix; a share has its own permissions, and a relay "
            "lets each key of the registry do what its role may",
        )
    access = access_of(
        Role(role),
        client=invocation.settings.text("client.id") if role == "client" else None,
        links=presigns,
    )
    document: Any = (
        seaweedfs_actions(access, bucket=url.netloc, prefix=url.path)
        if form == "seaweedfs"
        else aws_policy(access, bucket=url.netloc, prefix=url.path, create_only=form == "aws")
    )
    invocation.out.finish(
        {"role": role, "format": form, "policy": document},
        lambda to: to.print(json.dumps(document, indent=2), soft_wrap=True),
    )
