"""The Merkle tree against the known vectors of RFC 6962's reference implementation, and every proof
of every tree up to 33 leaves.
"""

import pytest

from hyperfed.protocol import merkle

# certificate-transparency, merkletree test data: the leaves and the heads of the trees over the
# first 1 to 8 of them
LEAVES = [
    bytes.fromhex(h)
    for h in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
HEADS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("count", range(1, 9))
def test_heads_are_rfc_6962s(count: int) -> None:
    assert merkle.head(LEAVES[:count]).hex() == HEADS[count - 1]


def test_the_empty_tree_is_sha_256_of_nothing() -> None:
    assert (
        merkle.head([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert merkle.proofs([]) == []


@pytest.mark.parametrize("count", range(1, 34))
def test_every_leaf_is_proven_and_nothing_else(count: int) -> None:
    leaves = [b"leaf %d" % i for i in range(count)]
    head, paths = merkle.head(leaves), merkle.proofs(leaves)
    for i, leaf in enumerate(leaves):
        path = paths[i]
        assert path == merkle.proof(leaves, i)
        assert merkle.verify_proof(leaf, i, count, path, head)
        assert not merkle.verify_proof(leaf + b"x", i, count, path, head)
        assert not merkle.verify_proof(leaf, count, count, path, head)
        assert not merkle.verify_proof(leaf, -1, count, path, head)
        assert not merkle.verify_proof(leaf, i, count, (*path, b"\0" * 32), head)
        if path:
            assert not merkle.verify_proof(leaf, i, count, path[:-1], head)
            assert not merkle.verify_proof(leaf, i, count, (bytes(32), *path[1:]), head)
            assert not merkle.verify_proof(leaf, (i + 1) % count, count, path, head)


@pytest.mark.parametrize("count", range(1, 18))
def test_a_proof_has_the_length_that_its_place_and_its_tree_give(count: int) -> None:
    """A receipt says its place and how many there were: neither can be made up so that a shorter or
    longer path still ends at the head.
    """
    leaves = [b"leaf %d" % i for i in range(count)]
    head, refused = merkle.head(leaves), 0
    for i, path in enumerate(merkle.proofs(leaves)):
        for size in range(1, 18):
            others = merkle.proofs([b""] * size)
            for index in range(size):
                if len(others[index]) != len(path):
                    refused += 1
                    assert not merkle.verify_proof(leaves[i], index, size, path, head), (
                        i,
                        index,
                        size,
                    )
    assert refused


def test_an_inner_node_cannot_pass_as_a_leaf() -> None:
    left, right = (merkle.head([leaf]) for leaf in LEAVES[:2])
    assert merkle.head([left + right]) != merkle.head(LEAVES[:2])
