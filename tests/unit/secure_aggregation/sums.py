"""A cohort that masks its numbers, and helpers that answer for it: what these tests share."""

from dataclasses import dataclass, field

import nacl.bindings
import numpy as np
import numpy.typing as npt

from hyperfed.secure_aggregation import (
    Cohort,
    HelperGroup,
    Manifest,
    MaskContext,
    MaskedMessage,
    Opening,
    add_masks,
    mask_message,
    open_box,
    to_fixed_point,
)

PLAN = b"p" * 32


@dataclass
class SecureRound:
    """One round: helpers with keys of the round, and the clients' masked messages."""

    group: HelperGroup
    clients: tuple[str, ...]
    length: int = 7
    round: int = 12
    payload: str = "statistics"
    changed: dict[str, float] = field(default_factory=dict)
    values: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    messages: dict[str, MaskedMessage] = field(default_factory=dict)
    public_keys: dict[str, bytes] = field(default_factory=dict)
    secret_keys: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(5)
        for helper in self.group.helpers:
            self.public_keys[helper], self.secret_keys[helper] = nacl.bindings.crypto_box_keypair()
        for client in self.clients:
            self.values[client] = np.round(rng.normal(0, 3, self.length) * 1024) / 1024
            self.values[client] += self.changed.get(client, 0.0)
            self.messages[client] = mask_message(
                to_fixed_point(self.values[client], cohort=1000),
                self.group,
                self.public_keys,
                self.context(client),
            )

    def context(self, client: str) -> MaskContext:
        return MaskContext(
            federation="trial",
            registry_version=3,
            round=self.round,
            plan_digest=PLAN,
            client=client,
            payload=self.payload,
        )

    def manifest(self, clients: tuple[str, ...] | None = None) -> Manifest:
        named = self.clients if clients is None else clients
        cohort = Cohort(
            payload=self.payload,
            length=self.length,
            messages={client: client.encode().ljust(32, b".") for client in named},
        )
        return Manifest(round=self.round, freeze_digest=b"f" * 32, cohorts=(cohort,))

    def answer(self, helper: str, manifest: Manifest | None = None) -> Opening:
        seeds = {
            client: open_box(
                message.sealed.boxes[helper], helper, self.group, self.secret_keys[helper]
            )
            for client, message in self.messages.items()
        }
        contexts = {client: self.context(client) for client in self.clients}
        return add_masks(
            manifest or self.manifest(), self.payload, helper, self.group, seeds, contexts
        )

    def masked(self) -> dict[str, npt.NDArray[np.uint64]]:
        return {client: message.values for client, message in self.messages.items()}


def group_of(helpers: int = 4, colluding: int = 1) -> HelperGroup:
    return HelperGroup(
        helpers=tuple(f"h{i}" for i in range(1, helpers + 1)), colluding_helpers=colluding
    )
