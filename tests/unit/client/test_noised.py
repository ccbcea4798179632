"""The one message of a round that a client keeps (R-98): what is noted of it, for which round."""

from pathlib import Path

from hyperfed.client.noised import KeptMessage, OneMessage

FIRST, SECOND = "fed round 1", "fed round 2"


def test_an_arrival_is_noted_for_the_round_of_the_kept_message_only(tmp_path: Path) -> None:
    kept = OneMessage(tmp_path / "message")
    kept.arrived(FIRST)
    assert kept.of(FIRST) is None, "what was not drawn has not arrived"
    message = KeptMessage(operation=SECOND, sequence=1, digest="00" * 32, edges=3, data=b"x")
    assert kept.keep(message) == message
    kept.arrived(FIRST)
    second = kept.of(SECOND)
    assert second is not None
    assert not second.arrived
    kept.arrived(SECOND)
    again = OneMessage(tmp_path / "message").of(SECOND)
    assert again is not None
    assert again.arrived
