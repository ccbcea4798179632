"""The commit protocol of DESIGN section 3, without I/O: objects, ledger, Merkle tree, who counts, and the round's state machine."""
