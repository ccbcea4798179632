"""What a relay makes of the patterns of `hyperfed iam`."""

import pytest

from hyperfed.operations.access import Access, Role, access_of
from hyperfed.protocol.object_keys import Keys, parse_key
from hyperfed.relay.authority import Rights


def test_a_star_within_a_pattern_is_one_name_and_one_at_its_end_any_rest() -> None:
    rights = Rights(Access(reads=("a/*/b", "c/*", "d"), creates=()))
    assert [rights.may_read(k) for k in ("a/x/b", "c/x", "c/x/y/z", "d")] == [True] * 4
    for key in ("a/b", "a/x/y/b", "a/x/b/c", "c", "c/", "d/e", "ad", "xd", "", "A/x/b"):
        assert not rights.may_read(key), key
    assert not rights.may_create("d")
    assert not rights.may_create("")


def test_a_dot_in_a_name_is_a_dot() -> None:
    rights = Rights(Access(reads=("a.b/*",), creates=()))
    assert rights.may_read("a.b/x")
    assert not rights.may_read("aXb/x")


@pytest.mark.parametrize("client", ["ann", "bob"])
def test_no_client_may_create_what_the_protocol_takes_for_anothers(client: str) -> None:
    rights = Rights(access_of(Role.CLIENT, client=client))
    for other in ("ann", "bob", "ann-x", "x-ann", "annx"):
        for key in (Keys.inbox(3, other, 0), Keys.gossip(3, 1, other)):
            assert rights.may_create(key) == (other == client)
            assert parse_key(key).client == other
            # nor anything below it or in its way: a folder cannot hold both
            assert not rights.may_create(f"{key}/{client}") or other == client
            assert not rights.may_create(f"{key}/{client}/0") or other == client
    for key in ("inbox", f"inbox/{client}", f"inbox/1/{client}", "gossip/1/1", client):
        assert not rights.may_create(key)
