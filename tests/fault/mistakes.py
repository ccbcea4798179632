"""The classic mistakes, each seeded into the real coordinator (the model's are in
tests/property/protocol_model.py).

A seed patches the code and returns the prefixes of keys that the store then lets be overwritten.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hyperfed.config import Limits
from hyperfed.coordinator.frozen_merge import FrozenMerge
from hyperfed.coordinator.handlers import CommandHandlers
from hyperfed.crypto.envelope import PacketType
from hyperfed.dropbox import pack_writer
from hyperfed.protocol import machine as mc
from hyperfed.protocol.documents import sign_object
from hyperfed.protocol.entries import EntryKind
from hyperfed.protocol.ledger import reserve_id
from hyperfed.protocol.machine import Line, Phase, WriteOutcome
from hyperfed.protocol.object_keys import Keys
from hyperfed.protocol.objects import Plan
from hyperfed.protocol.packs import Pack
from hyperfed.storage.store import ObjectStore

Seed = Callable[[pytest.MonkeyPatch], tuple[str, ...]]


def _step(patch: pytest.MonkeyPatch, phase: Phase, step: Callable[..., Any]) -> None:
    honest = mc._STEPS[phase]
    patch.setitem(mc._STEPS, phase, lambda m, answer, economy: step(honest, m, answer, economy))


def _execute(
    patch: pytest.MonkeyPatch, command: type, act: Callable[[CommandHandlers, Any, Any], None]
) -> None:
    """Do something careless before a command is carried out."""
    honest = CommandHandlers.execute

    def careless(self: CommandHandlers, machine: mc.Machine, wanted: Any) -> Any:
        if isinstance(wanted, command):
            act(self, machine, wanted)
        return honest(self, machine, wanted)

    patch.setattr(CommandHandlers, "execute", careless)


def no_id(patch: pytest.MonkeyPatch) -> tuple[str, ...]:
    def forgets(honest: Any, m: mc.Machine, ledger: tuple[Line, ...], economy: mc.Economy) -> Any:
        if mc.finished(ledger, m.round):
            return honest(m, ledger, economy)
        return replace(m, phase=Phase.RESERVING), mc.Append(
            len(ledger) + 1, Line(EntryKind.RESERVE, m.round, economy.reserve_id(m.round, m.freeze))
        )

    _step(patch, Phase.RESERVE, forgets)
    return ()


def result_over(_: pytest.MonkeyPatch) -> tuple[str, ...]:
    return ("result",)


def freeze_over(_: pytest.MonkeyPatch) -> tuple[str, ...]:
    return ("freeze",)


def ledger_over(patch: pytest.MonkeyPatch) -> tuple[str, ...]:
    return ("ledger",)


def content_address(patch: pytest.MonkeyPatch) -> tuple[str, ...]:
    def uploads(self: CommandHandlers, _: Any, command: mc.Release) -> None:
        model = self.merge.frozen_sets.coordinator(
            self.plan(command.round).value, command.freeze
        ).aggregate()
        write = sign_object(
            Keys.result(command.round),
            PacketType.RESULT,
            model,
            key_pair=self.key_pair,
            time=model.time,
        )
        self.writes.store.put_if_absent(
            f"rounds/{command.round:08d}/values/{hash(write.data)}".replace("-", "m"), write.data
        )

    _execute(patch, mc.Release, uploads)
    return ()


def refund_early(patch: pytest.MonkeyPatch) -> tuple[str, ...]:
    def refunds(self: CommandHandlers, machine: mc.Machine, command: mc.PutTombstone) -> None:
        ledger = self.reader.ledger()
        mine = [c.entry for c in ledger if c.entry.round == command.round]
        if [e.kind for e in mine] == [EntryKind.RESERVE]:
            entry = replace(
                mine[0],
                sequence=len(ledger) + 1,
                previous=ledger[-1].digest,
                kind=EntryKind.VOID,
                mechanisms=(),
                result=b"",
                final=False,
            )
            write = sign_object(
                Keys.ledger(entry.sequence),
                PacketType.LEDGER,
                entry,
                key_pair=self.key_pair,
                time=entry.time,
                audience="all",
                sequence=entry.sequence,
                previous=entry.previous,
            )
            self.writes.store.put_if_absent(write.key, write.data)

    _execute(patch, mc.PutTombstone, refunds)
    return ()


def refund_nothing(patch: pytest.MonkeyPatch) -> tuple[str, ...]:
    honest = CommandHandlers._append

    def refunds(self: CommandHandlers, machine: mc.Machine, command: mc.Append) -> WriteOutcome:
        line = command.line
        if line.kind is EntryKind.VOID:
            line = replace(line, ref=reserve_id("small-fed", line.round, b"any"))
        return honest(self, machine, replace(command, line=line))

    patch.setattr(CommandHandlers, "_append", refunds)
    return ()


def agg_inbox(patch: pytest.MonkeyPatch) -> tuple[str, ...]:
    honest = FrozenMerge.of

    def merges_less(self: FrozenMerge, plan: Plan, frozen: Any, *, fresh: bool = False) -> Any:
        """What lies in the inbox by now: here, one update fewer than was frozen."""
        if not fresh:
            return honest(self, plan, frozen)
        freeze, lies = frozen.value, frozen.value.in_pack[:-1]
        fewer = replace(
            frozen,
            value=replace(
                freeze,
                counted=freeze.counted[:-1],
                in_pack=lies,
                packs=freeze.packs[: max(lies) + 1],
            ),
        )
        return self.frozen_sets.coordinator(replace(plan, quorum=1), fewer, key_pair=self.key_pair)

    patch.setattr(FrozenMerge, "of", merges_less)
    return ()


def no_order(patch: pytest.MonkeyPatch) -> tuple[str, ...]:
    def hurries(honest: Any, m: mc.Machine, ledger: tuple[Line, ...], economy: mc.Economy) -> Any:
        if mc.finished(ledger, m.aim):
            return honest(m, ledger, economy)
        return replace(m, phase=Phase.PLAN, round=m.aim), mc.ReadPlan(m.aim)

    _step(patch, Phase.LEDGER, hurries)
    _step(patch, Phase.RESERVE, lambda honest, m, ledger, e: _reserves_anyway(honest, m, ledger, e))
    return ()


def _reserves_anyway(
    honest: Any, m: mc.Machine, ledger: tuple[Line, ...], economy: mc.Economy
) -> Any:
    if mc.finished(ledger, m.round) or any(line.round == m.round for line in ledger):
        return honest(m, tuple(line for line in ledger if line.round == m.round), economy)
    return replace(m, phase=Phase.RESERVING), mc.Append(
        len(ledger) + 1, Line(EntryKind.RESERVE, m.round, economy.reserve_id(m.round, m.freeze))
    )


def publish_first(patch: pytest.MonkeyPatch) -> tuple[str, ...]:
    def releases(honest: Any, m: mc.Machine, freeze: Any, economy: mc.Economy) -> Any:
        if freeze is None:
            return honest(m, freeze, economy)
        return replace(m, phase=Phase.RELEASING, freeze=freeze), mc.Release(m.round, freeze)

    _step(patch, Phase.FREEZE, releases)
    return ()


def late_twice(patch: pytest.MonkeyPatch) -> tuple[str, ...]:
    patch.setattr("hyperfed.coordinator.reputation.REMEMBERED", 0)
    return ()


def freeze_first(patch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Counts updates whose pack may not be there: how its write ended is not looked at."""

    def hopes(store: ObjectStore, round_id: int, pack: Pack, created: Any, **_: Limits) -> None:
        return

    patch.setattr(pack_writer, "check_copied", hopes)
    return ()
