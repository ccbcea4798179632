"""Build the Merkle tree over what a round counted and refused.

With it, whoever holds a receipt can prove what became of its update.

With it, whoever holds a receipt can prove what became of its update.

1. Leaves and inner nodes are hashed with different first bytes, as in RFC 6962 section 2.1, so that
   no leaf can pass as a node (R-70).
2. The leaves are in the freeze's order. The head of the empty tree is the SHA-256 of nothing.
"""

import hashlib
from collections.abc import Sequence

__all__ = ["head", "proof", "proofs", "verify_proof"]


def _leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Return the nodes level by level, leaves first.

    An odd last node moves up unchanged, which gives RFC 6962's tree.
    """
    levels = [[_leaf(leaf) for leaf in leaves]]
    while len(levels[-1]) > 1:
        last = levels[-1]
        pairs = [_node(last[i], last[i + 1]) for i in range(0, len(last) - 1, 2)]
        levels.append(pairs + last[len(pairs) * 2 :])
    return levels


def head(leaves: Sequence[bytes]) -> bytes:
    """Return the tree's head, 32 bytes. Source: RFC 6962 section 2.1."""
    return _levels(leaves)[-1][0] if leaves else hashlib.sha256(b"").digest()


def proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the audit path of one leaf, from the bottom up. Source: RFC 6962 section 2.1.1."""
    return _path(_levels(leaves), index)


def proofs(leaves: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    """Return the audit path of every leaf. The tree is built once."""
    levels = _levels(leaves)
    return [_path(levels, index) for index in range(len(leaves))]


def _path(levels: list[list[bytes]], index: int) -> tuple[bytes, ...]:
    path = []
    for level in levels[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        index //= 2
    return tuple(path)


def verify_proof(
    leaf: bytes, index: int, count: int, path: Sequence[bytes], expected: bytes
) -> bool:
    """Return whether `leaf` is number `index` of the `count` leaves under the head `expected`.

    Source: RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < count:
        return False
    node, last = _leaf(leaf), count - 1
    for sibling in path:
        if last == 0:
            return False
        if index & 1 or index == last:
            node = _node(sibling, node)
            while not index & 1 and index:
                index >>= 1
                last >>= 1
        else:
            node = _node(node, sibling)
        index >>= 1
        last >>= 1
    return last == 0 and node == expected
