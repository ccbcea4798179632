"""What a sender has seen, compared with what is here (R-73, R-120, R-121, R-152)."""

from dataclasses import replace
from typing import Any

import pytest

from hyperfed.crypto.proofs import proof_of
from hyperfed.dropbox.claims import (
    Claim,
    check_claims,
    check_holds_commit,
    check_seen,
    is_of_abandoned_branch,
)
from hyperfed.errors import HyperfedError, LedgerError
from hyperfed.protocol.object_keys import Keys
from hyperfed.registry.annulments import Annulment
from hyperfed.registry.registry import sign_registry
from hyperfed.testing.federation import SmallFederation

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def worlds() -> tuple[SmallFederation, SmallFederation]:
    """A federation, and its drop-box as it was a round and a registry version before."""
    fed = SmallFederation(roots=2, threshold=2)
    fed.play(1)
    old = fed.twin()
    fed.amend(close_windows=9)
    fed.play(2)
    return fed, old


def ledger_claim(fed: SmallFederation, number: int, **changes: Any) -> Claim:
    chained = fed.reader().ledger()[number - 1]
    return replace(
        Claim(
            ledger_sequence=number,
            ledger_digest=chained.digest,
            ledger_proof=proof_of(fed.objects()[Keys.ledger(number)]),
        ),
        **changes,
    )


def registry_claim(fed: SmallFederation, number: int, **changes: Any) -> Claim:
    return replace(
        Claim(
            registry_version=number,
            registry_digest=fed.reader().registry_version(number)[1],
            registry_proof=proof_of(fed.objects()[Keys.registry(number)]),
        ),
        **changes,
    )


def test_what_is_here_may_have_been_seen(worlds: tuple[SmallFederation, SmallFederation]) -> None:
    """Also what came after this reader has looked: it looks again."""
    fed, old = worlds
    late = old.twin()
    reader = late.reader()
    assert (len(reader.ledger()), reader.registry.version) == (2, 1)
    for key, data in fed.objects().items():
        late.store.put_if_absent(key, data)
    for claim in (
        Claim(),
        *(ledger_claim(fed, number, ledger_proof=b"") for number in (1, 4)),
        *(registry_claim(fed, number, registry_proof=b"") for number in (1, 2)),
    ):
        check_claims(reader, claim, by="site-01")


def test_who_proves_what_is_not_here_stops_the_round_and_who_says_so_does_not(
    worlds: tuple[SmallFederation, SmallFederation],
) -> None:
    fed, old = worlds
    one_root = replace(fed.registry, previous=fed.reader().registry_version(1)[1], close_windows=9)
    alone = proof_of(sign_registry(one_root, fed.roots[:1]))
    other = registry_claim(fed, 1).registry_proof
    for claim, rule in (
        (ledger_claim(fed, 4), "R-73"),
        (ledger_claim(fed, 4, ledger_proof=b""), "R-120"),
        (ledger_claim(fed, 4, ledger_sequence=5), "R-120"),
        (ledger_claim(fed, 4, ledger_digest=b"x" * 32), "R-120"),
        (ledger_claim(fed, 1, ledger_digest=b"x" * 32), "R-120"),
        (registry_claim(fed, 2), "R-121"),
        (registry_claim(fed, 2, registry_proof=b""), "R-120"),
        (registry_claim(fed, 2, registry_proof=alone), "R-120"),
        (registry_claim(fed, 2, registry_proof=other), "R-120"),
        (registry_claim(fed, 2, registry_version=3), "R-120"),
        (registry_claim(fed, 1, registry_digest=b"x" * 32), "R-120"),
    ):
        with pytest.raises(HyperfedError) as caught:
            check_claims(old.reader(), claim, by="site-01")
        assert caught.value.rule == rule, claim


def test_the_error_says_whether_it_is_missing_or_another(
    worlds: tuple[SmallFederation, SmallFederation],
) -> None:
    fed, old = worlds
    for claim, said in (
        (registry_claim(fed, 2), "the newest version is 1, site-01 has seen version 2"),
        (registry_claim(fed, 1, registry_digest=b"x" * 32), "is not the one that site-01 has seen"),
    ):
        with pytest.raises(HyperfedError, match=said):
            check_claims(old.reader(), claim, by="site-01")


def test_what_the_roots_have_abandoned_need_not_be_here(
    worlds: tuple[SmallFederation, SmallFederation],
) -> None:
    fed, old = worlds
    head = fed.reader().ledger()[-1]
    twin = old.twin()
    twin.amend(annulled=(Annulment(sequence=4, digest=head.digest),))
    reader = twin.reader()
    ledger = reader.ledger()
    check_seen(reader, ledger, sequence=4, digest=head.digest, by="site-01")
    for sequence, digest in ((3, head.digest), (4, b"x" * 32)):
        with pytest.raises(LedgerError):
            check_seen(reader, ledger, sequence=sequence, digest=digest, by="site-01")


def test_a_plan_names_a_commit_of_this_ledger_or_of_none(
    worlds: tuple[SmallFederation, SmallFederation],
) -> None:
    fed, old = worlds
    stored = fed.reader().plan(2)
    assert stored is not None
    head = fed.reader().ledger()[-1]

    def naming(commit: bytes) -> Any:
        return replace(stored, value=replace(stored.value, newest_commit=commit))

    reader = old.reader()
    reader.ledger()
    for commit in (b"", reader.ledger()[1].digest):
        check_holds_commit(reader, naming(commit))
        assert not is_of_abandoned_branch(reader, naming(commit).value)
    with pytest.raises(LedgerError, match="does not hold the commit of round 1") as caught:
        check_holds_commit(reader, naming(head.digest))
    assert caught.value.rule == "R-73"
    assert not is_of_abandoned_branch(reader, naming(head.digest).value)
    twin = old.twin()
    here = twin.reader().ledger()[1]
    annulled = [Annulment(sequence=2, digest=here.digest)]
    for number in (1, 2):
        twin.amend(annulled=tuple(annulled))
        reader = twin.reader()
        reader.ledger()
        assert is_of_abandoned_branch(reader, naming(head.digest).value) is (number == 2)
        assert not is_of_abandoned_branch(reader, naming(here.digest).value), "it is of this ledger"
        annulled.append(Annulment(sequence=4, digest=head.digest))
