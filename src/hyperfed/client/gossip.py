"""Gossip as a client at the drop-box, one epoch in each call.

1. A round's gossip begins with one noised message, drawn once and sent as it was drawn. In a round
   of local noise it is that round's message, whoever sends it first. In every other round it is
   kept, then charged to the client's own guard of gossip's share, then written (R-145): what is
   charged is never drawn again, and what is not charged never leaves.
2. Only `_begun` takes an update. Everything after it works on a `GossipState`, which holds noised
   messages and what peers left, so no later epoch can name what was measured.
3. What is written is kept first, with the state after it. A run that was killed at any point goes
   on, and writes the same bytes again (`gossip_memory`).
4. Where what was kept is lost, the round's gossip is over for this client: a second message would
   reveal more than was charged (R-149). The next round begins anew.
5. An epoch is pushed only where the average has moved, not before `least_wait` is over, and not
   after the round's gossip has expired. Peers' shares are read in every run, also late ones.
6. A peer's object that cannot be believed is left out with its reason, and never stops a run.
7. A guard whose file was lost counts every first epoch that this client has left in the drop-box.

What it does not do: read data (`client.finding`), or show the average (`cli.client.gossip`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from hyperfed.client.checks import check_plan, check_registered
from hyperfed.client.gossip_memory import KeptGossip
from hyperfed.client.noised import check_attested, operation_of
from hyperfed.client.own_slots import written
from hyperfed.client.session import ClientSession
from hyperfed.codec import PayloadCodec
from hyperfed.errors import (
    HyperfedError,
    ObjectNotFound,
    PacketError,
    PrivacyError,
    RefusedError,
    RegistryError,
    RoundError,
    TransportError,
)
from hyperfed.gossip.averages import BasketAverage
from hyperfed.gossip.messages import NoisedVector
from hyperfed.gossip.mixing import GossipState
from hyperfed.gossip.sealed import (
    Peers,
    digest_of_envelope,
    open_share,
    seal_message,
    seal_share,
)
from hyperfed.gossip.terms import GossipTerms, share_in_force, terms_of
from hyperfed.packets import Update
from hyperfed.privacy.guard import PrivacyGuard
from hyperfed.privacy.release import noised_message
from hyperfed.protocol.object_keys import Keys, parse_key
from hyperfed.protocol.objects import Plan
from hyperfed.storage.clock import check_clock

__all__ = ["MATERIAL", "Exchange", "GossipAtDropBox"]

MATERIAL = 1e-4
"""The smallest move of the average that is pushed, as a part of the norm bound."""

Discover = Callable[[Plan], Update]
"""Returns this client's update for a plan: what is noised at the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Says what one run did, and where this client stands in the round's gossip."""

    round: int
    """The round."""
    announced: int
    """The round of the plan on whose terms the basket gossips."""
    basket: str
    """The client's basket; empty where all clients are in one."""
    members: int
    """How many members it has."""
    epoch: int
    """How many epochs this client has gone through."""
    epochs: int
    """How many the round has."""
    began: bool
    """Whether this run sent the first epoch."""
    added: int
    """How many shares this run added."""
    heard: int
    """How many were added in all."""
    sent: str
    """The key of what this run wrote, or empty."""
    waits_until: datetime | None
    """Until when the next epoch waits; None where it need not, or where the epochs are over."""
    dropped: tuple[tuple[str, int, str], ...]
    """What peers left that does not count: (sender, epoch, why)."""


class GossipAtDropBox:
    """Runs one client's gossip at the drop-box of its session."""

    def __init__(self, session: ClientSession) -> None:
        self.session, self.reader, self.client = session, session.reader, session.client_id
        self._memory = session.memory.gossip

    def exchange(
        self, discover: Discover, *, now: datetime, round_id: int | None = None
    ) -> Exchange:
        """Run one epoch of a round, by default of the round whose window is running.

        `discover` is called where the round's message is still to be drawn, and never after that.

        Raises RoundError where the round's gossip has not begun or has expired, RegistryError,
        RefusedError, PrivacyError or PrivacyBudgetExhausted where this client cannot take part,
        ConfigError where the clocks differ by more than the federation tolerates, and
        TransportError. What was charged or kept by then stays.
        """
        registry = self.reader.registry
        number = registry.windows.round_at(now) if round_id is None else round_id
        check_registered(registry, self.client, self.session.key_pair, round_id=number)
        check_clock(self.session.store, most_s=self.reader.limits.clock_skew_s)
        with self._memory.alone(number):
            kept_gossip = self._memory.of(number)
            terms = self._terms(number, kept_gossip)
            self._check_time(terms, now)
            if kept_gossip is None:
                kept_gossip = self._begun(discover, terms, now=now)
                began = True
            else:
                began = False
            sent = "" if kept_gossip.written else kept_gossip.key
            self._pay(terms, kept_gossip)
            kept_gossip = self._send(number, kept_gossip)
            kept_gossip, added = self._read(terms, kept_gossip, now=now)
            if not sent:
                kept_gossip, sent = self._pushed(terms, kept_gossip, now=now)
        return self._exchange(terms, kept_gossip, now=now, began=began, added=added, sent=sent)

    def average(self, *, now: datetime, round_id: int | None = None) -> BasketAverage:
        """Return the basket's average as this client has it, with what peers have left by now.

        `round_id` is None for the newest round of which anything is kept. Raises RoundError where
        this client took no part.
        """
        number = next(iter(self._memory.rounds()), 0) if round_id is None else round_id
        kept_gossip = self._memory.of(number) if number else None
        if kept_gossip is None:
            raise RoundError(
                "this client has no part in its gossip",
                subject=f"round {number}" if number else "gossip",
                rule="R-146",
                remedy="Run `hyperfed gossip run` in the round's window first",
            )
        with self._memory.alone(number):
            kept_gossip = self._memory.of(number) or kept_gossip
            terms = self._terms(number, kept_gossip)
            if self._can_open(terms) and now < terms.expires:
                kept_gossip, _ = self._read(terms, kept_gossip, now=now)
            state = self._state(terms, kept_gossip)
        return BasketAverage(
            terms=terms,
            values=state.average,
            epoch=state.epoch,
            heard=state.heard,
            senders=state.senders,
        )

    def standing(self, *, now: datetime, round_id: int | None = None) -> Exchange | None:
        """Return where this client stands; None where it took no part.

        Nothing is read or sent.
        """
        number = next(iter(self._memory.rounds()), 0) if round_id is None else round_id
        kept_gossip = self._memory.of(number) if number else None
        if kept_gossip is None:
            return None
        terms = self._terms(number, kept_gossip)
        return self._exchange(terms, kept_gossip, now=now, began=False, added=0, sent="")

    def guard(self) -> PrivacyGuard:
        """Return the guard of gossip's share. Raises PrivacyError where the roots keep none."""
        epsilon, delta = share_in_force(self.reader)
        return self.session.memory.gossip_guard(epsilon, delta)

    # -- the steps of an exchange ------------------------------------------------------------------

    def _terms(self, number: int, kept_gossip: KeptGossip | None) -> GossipTerms:
        announced = None if kept_gossip is None else kept_gossip.announced
        return terms_of(self.reader, self.client, number, announced=announced)

    def _check_time(self, terms: GossipTerms, now: datetime) -> None:
        if now < terms.opens:
            raise RoundError(
                f"has not begun; it opens at {terms.opens.isoformat()}",
                subject=f"gossip of round {terms.round}",
                rule="R-150",
                remedy="Nothing was sent or spent; leave --round out for the round that runs",
            )
        if now >= terms.expires:
            raise RoundError(
                f"expired at {terms.expires.isoformat()}",
                subject=f"gossip of round {terms.round}",
                rule="R-150",
                remedy="Nothing was sent or spent; leave --round out for the round that runs",
            )

    def _begun(self, discover: Discover, terms: GossipTerms, *, now: datetime) -> KeptGossip:
        """Draw the round's message, and return what is kept: nothing is written yet."""
        plan, ledger = self.reader.plan(terms.announced.round), self.session.check_ledger()
        if plan is None:
            raise RoundError("its plan is gone", subject=f"round {terms.announced.round}")
        check_plan(plan, ledger)
        if self.session.store.head(Keys.gossip(terms.round, 0, self.client)) is not None:
            raise self._lost(terms)
        if terms.of_the_round:
            kept_message = self.session.memory.message.of(operation_of(plan.value))
            if kept_message is None:
                update = self._leaving(discover, plan.value)
                kept_message = self.session.drawn_message(update, now=now, plan=plan, ledger=ledger)
            message = kept_message.body
        else:
            message = self._drawn(discover, terms)
        if not message:
            raise self._lost(terms)
        peers = self._peers(terms)
        own_vector = NoisedVector.of_message(
            PayloadCodec(limits=self.session.limits).decode(message, Update),
            variables=len(plan.value.vocabulary),
            lags=terms.lags,
        )
        state = GossipState(terms.plan, self.client, own_vector, material=MATERIAL)
        state.push()
        return self._memory.keep(
            terms.round,
            KeptGossip(
                announced=terms.announced.round,
                state=state.saved(),
                key=Keys.gossip(terms.round, 0, self.client),
                data=seal_message(message, peers, now=now),
                written=False,
                sent=now,
            ),
        )

    def _leaving(self, discover: Discover, plan: Plan) -> Update:
        """Return the update as it may be noised: within this client's own rules and the policy."""
        update = self.session.leaving(discover(plan), plan)
        self.session.check(update, plan)
        return update

    def _drawn(self, discover: Discover, terms: GossipTerms) -> bytes:
        """Return a noised message that gossip's share can pay for, encoded."""
        guard = self.guard()
        self._recover(guard, terms)
        operation = self._operation(terms.round)
        if guard.has_charged(operation):
            raise self._lost(terms)
        if not guard.can_charge(terms.release.mechanisms):
            guard.charge(terms.release.mechanisms, operation=operation)  # says why it does not fit
        plan, update = terms.announced, self._leaving(discover, terms.announced)
        check_attested(update, plan, terms.release)
        message = noised_message(update, terms.release, vocabulary=plan.vocabulary, lags=terms.lags)
        return PayloadCodec(compression="zstd").encode(message)

    def _pay(self, terms: GossipTerms, kept_gossip: KeptGossip) -> None:
        """Charge gossip's share for what is kept, before any of it is written.

        Raises PrivacyBudgetExhausted; nothing is written then.
        """
        if not kept_gossip.written and not terms.of_the_round:
            operation = self._operation(terms.round)
            self.guard().charge(terms.release.mechanisms, operation=operation)

    def _operation(self, round_id: int) -> str:
        return f"{self.reader.registry.federation}/gossip/{round_id}"

    def _recover(self, guard: PrivacyGuard, terms: GossipTerms) -> None:
        """Charge an empty guard with every message that this client left in the drop-box.

        A round's own message of local noise is not gossip's. Raises PrivacyBudgetExhausted.
        """
        if guard.accountant.mechanisms:
            return
        for info in self.session.store.list("gossip/"):
            object_key = parse_key(info.key)
            if (object_key.kind, object_key.client, object_key.number) != (
                "gossip",
                self.client,
                0,
            ):
                continue
            plan = self.reader.plan(object_key.round)
            if object_key.round == terms.round or (plan and plan.value.policy.privacy == "local"):
                continue
            try:
                earlier = terms_of(self.reader, self.client, object_key.round).release
            except (RoundError, PrivacyError, RegistryError):
                earlier = terms.release  # its plan is gone; today's noise is the best guess
            guard.charge(earlier.mechanisms, operation=self._operation(object_key.round))

    def _send(self, number: int, kept_gossip: KeptGossip) -> KeptGossip:
        """Write what is kept, and note that it lies there. Raises RefusedError for another's."""
        if kept_gossip.written:
            return kept_gossip
        if not written(self.session.store, kept_gossip.key, kept_gossip.data):
            raise RefusedError(
                "another object lies where this client's belongs",
                subject=kept_gossip.key,
                rule="R-149",
                remedy=(
                    "Wait for the next round, and let only one machine gossip for this client. "
                    "This round's gossip is over for it: another machine uses its name, or what "
                    "was kept was lost once"
                ),
            )
        return self._memory.keep(number, replace(kept_gossip, written=True))

    def _read(
        self, terms: GossipTerms, kept_gossip: KeptGossip, *, now: datetime
    ) -> tuple[KeptGossip, int]:
        """Add what peers have left since the last look, and keep it."""
        state, dropped, added = self._state(terms, kept_gossip), list(kept_gossip.dropped), 0
        refused = {(sender, epoch) for sender, epoch, _ in dropped}
        peers, limit = self._peers(terms), self.session.limits.max_update_bytes
        for info in self.session.store.list(Keys.gossip(terms.round)):
            object_key = parse_key(info.key)
            place = (object_key.client, object_key.number)
            if (
                object_key.kind != "gossip"
                or not 0 <= object_key.number < terms.plan.epochs
                or object_key.client not in terms.plan.neighbours(object_key.number, self.client)
                or state.has_heard(*place)
                or place in refused
            ):
                continue
            try:
                data = self.session.store.read(info.key, max_bytes=limit)
                share = open_share(data, peers, sender=place[0], epoch=place[1], now=now)
                added += state.add(share)
            except ObjectNotFound:
                continue
            except (PacketError, PrivacyError) as error:
                dropped.append((*place, error.problem[:200]))
            except TransportError:
                if added:  # what was read is not read again
                    break
                raise
        if not added and len(dropped) == len(kept_gossip.dropped):
            return kept_gossip, 0
        kept_gossip = replace(kept_gossip, state=state.saved(), dropped=tuple(dropped))
        return self._memory.keep(terms.round, kept_gossip), added

    def _pushed(
        self, terms: GossipTerms, kept_gossip: KeptGossip, *, now: datetime
    ) -> tuple[KeptGossip, str]:
        """Push the next epoch where it is time, and return what is kept and what was written."""
        state = self._state(terms, kept_gossip)
        if state.epoch >= terms.plan.epochs or now < kept_gossip.sent + terms.least_wait:
            return kept_gossip, ""
        epoch = state.epoch
        shares = state.push()
        if not shares:  # nothing has moved: the epoch stays this client's for later
            return kept_gossip, ""
        share = next(iter(shares.values()))
        data = seal_share(
            share, self._peers(terms), previous=digest_of_envelope(kept_gossip.data), now=now
        )
        kept_gossip = self._memory.keep(
            terms.round,
            replace(
                kept_gossip,
                state=state.saved(),
                key=Keys.gossip(terms.round, epoch, self.client),
                data=data,
                written=False,
                sent=now,
            ),
        )
        return self._send(terms.round, kept_gossip), kept_gossip.key

    # -- what they share ---------------------------------------------------------------------------

    def _state(self, terms: GossipTerms, kept_gossip: KeptGossip) -> GossipState:
        return GossipState.restored(terms.plan, kept_gossip.state, material=MATERIAL)

    def _peers(self, terms: GossipTerms) -> Peers:
        return Peers(
            terms=terms,
            registry=self.reader.registry,
            client=self.client,
            key_pair=self.session.key_pair,
            limits=self.session.limits,
        )

    def _can_open(self, terms: GossipTerms) -> bool:
        """Return whether the session has the client's own key, as one that only reads has not."""
        try:
            check_registered(
                self.reader.registry, self.client, self.session.key_pair, round_id=terms.round
            )
        except HyperfedError:
            return False
        return True

    def _lost(self, terms: GossipTerms) -> RefusedError:
        return RefusedError(
            f"has drawn its message of round {terms.round} already, and does not have it here",
            subject=f"client {self.client}",
            rule="R-149",
            remedy=(
                "Wait for the next round, which begins anew. A second message would reveal more "
                "than was charged, so this round's gossip is over for this client"
            ),
        )

    def _exchange(
        self,
        terms: GossipTerms,
        kept_gossip: KeptGossip,
        *,
        now: datetime,
        began: bool,
        added: int,
        sent: str,
    ) -> Exchange:
        state = self._state(terms, kept_gossip)
        until = kept_gossip.sent + terms.least_wait
        over = state.epoch >= terms.plan.epochs
        return Exchange(
            round=terms.round,
            announced=terms.announced.round,
            basket=terms.basket,
            members=len(terms.plan.clients),
            epoch=state.epoch,
            epochs=terms.plan.epochs,
            began=began,
            added=added,
            heard=state.heard,
            sent=sent,
            waits_until=until if not over and until > now else None,
            dropped=kept_gossip.dropped,
        )
