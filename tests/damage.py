"""Change stored bytes so that they surely differ from what they were."""

__all__ = ["damaged"]


def damaged(data: bytes) -> bytes:
    """Return the bytes with the last bit flipped.

    A byte of a test's own choice in its place is now and then the one that was there.
    """
    return data[:-1] + bytes([data[-1] ^ 1])
