"""`Keys` makes keys, `parse_key` takes them apart; what `Keys` would not have made is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfed.protocol.object_keys import (
    Keys,
    ObjectKey,
    client_of,
    folders_of,
    parse_key,
    top_of,
)

pytestmark = pytest.mark.unit

ROUNDS = st.integers(1, 10**10)
NUMBERS = st.integers(0, 10**10)
CLIENTS = st.from_regex(r"[a-z0-9][a-z0-9_-]{2,31}", fullmatch=True)
MADE = st.one_of(
    st.builds(lambda n: (Keys.registry(n), ObjectKey(kind="registry", number=n)), NUMBERS),
    st.builds(lambda n: (Keys.ledger(n), ObjectKey(kind="ledger", number=n)), NUMBERS),
    st.builds(lambda n: (Keys.pruned(n), ObjectKey(kind="pruned", number=n)), NUMBERS),
    st.builds(lambda r: (Keys.plan(r), ObjectKey(kind="plan", round=r)), ROUNDS),
    st.builds(lambda r: (Keys.freeze(r), ObjectKey(kind="freeze", round=r)), ROUNDS),
    st.builds(lambda r: (Keys.noise(r), ObjectKey(kind="noise", round=r)), ROUNDS),
    st.builds(lambda r: (Keys.result(r), ObjectKey(kind="result", round=r)), ROUNDS),
    st.builds(lambda r: (Keys.state(r), ObjectKey(kind="state", round=r)), ROUNDS),
    st.builds(
        lambda r, c: (Keys.links(r, c), ObjectKey(kind="links", round=r, client=c)), ROUNDS, CLIENTS
    ),
    st.builds(
        lambda r, c: (Keys.receipt(r, c), ObjectKey(kind="receipts", round=r, client=c)),
        ROUNDS,
        CLIENTS,
    ),
    st.builds(
        lambda r, n: (Keys.receipt_page(r, n), ObjectKey(kind="receipt-pages", round=r, number=n)),
        ROUNDS,
        st.integers(0, 255),
    ),
    st.builds(
        lambda r, d: (Keys.accepted(r, d), ObjectKey(kind="accepted", round=r)),
        ROUNDS,
        st.binary(min_size=32, max_size=32),
    ),
    st.builds(
        lambda r, c, slot: (Keys.inbox(r, c, slot), ObjectKey(kind="inbox", round=r, client=c)),
        ROUNDS,
        CLIENTS,
        st.integers(0, 3),
    ),
    st.builds(
        lambda r, e, c: (
            Keys.gossip(r, e, c),
            ObjectKey(kind="gossip", round=r, client=c, number=e),
        ),
        ROUNDS,
        st.integers(0, 99),
        CLIENTS,
    ),
)


@given(MADE)
def test_what_keys_make_is_taken_apart_into_what_they_were_made_of(
    made: tuple[str, ObjectKey],
) -> None:
    assert parse_key(made[0]) == made[1]


@given(MADE, st.data())
def test_a_key_that_differs_in_one_character_is_another_or_none(
    made: tuple[str, ObjectKey], data: st.DataObject
) -> None:
    key, known = made
    at = data.draw(st.integers(0, len(key) - 1))
    other = key[:at] + data.draw(st.sampled_from("0 9az/_.A-")) + key[at + 1 :]
    parsed = parse_key(other)
    if other != key and known.kind != "accepted":
        assert parsed != known or not parsed.kind


@given(st.text())
def test_every_string_has_an_answer(key: str) -> None:
    parse_key(key)
    client_of(key)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "rounds",
        "rounds/00000001",
        "rounds/1/plan",
        "rounds/000000001/plan",
        "rounds/00000001/plan/",
        "rounds/00000001/notes",
        "rounds/00000000/plan",
        "rounds/00000001/accepted/" + "A" * 64,
        "rounds/00000001/receipts/../plan",
        "rounds/00000001/receipt-pages/FF",
        "rounds/00000001/scratch/x/y",
        "registry/1",
        "registry/000001/x",
        "ledger/1",
        "pruned/0000001",
        "inbox",
        "gossip",
        "gossip/00000001/00",
        "gossip/00000001/0/site-01",
        "gossip/00000001/000/site-01",
        "gossip/1/00/site-01",
        "gossip/00000000/00/site-01",
        "gossip/00000001/00/Nobody",
        "gossip/00000001/00/site-01/0",
        "probe",
        "prefect/other/x",
        "prefect/stages",
        "rounds/\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661/plan",
    ],
)
def test_the_protocol_has_no_such_key(key: str) -> None:
    assert parse_key(key).kind == ""


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("rounds/00000007/notes", ObjectKey(kind="", round=7)),
        ("inbox/00000007/Nobody/0", ObjectKey(kind="inbox", round=7)),
        ("inbox/00000007", ObjectKey(kind="inbox")),
        ("inbox/what", ObjectKey(kind="inbox")),
        ("probe/x", ObjectKey(kind="probe")),
        ("prefect/stages/rounds/7/x", ObjectKey(kind="stage", round=7)),
        ("prefect/stages/rounds/7", ObjectKey(kind="stage")),
        ("rounds/00000007/scratch/a/b/c/d", ObjectKey(kind="scratch", round=7)),
    ],
)
def test_what_is_known_of_keys_that_others_make(key: str, known: ObjectKey) -> None:
    assert parse_key(key) == known


@pytest.mark.parametrize(
    ("key", "folders", "top"),
    [
        ("inbox/00000001/alice/0", ["inbox", "00000001", "alice"], "inbox/00000001"),
        ("registry/000001", ["registry"], "registry/000001"),
        ("stray", [], "stray"),
    ],
)
def test_a_key_lies_in_folders(key: str, folders: list[str], top: str) -> None:
    assert (folders_of(key), top_of(key, 2)) == (folders, top)
