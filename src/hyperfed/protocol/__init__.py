"""The commit protocol, without I/O: objects, ledger, Merkle tree, who counts, and the round's state
machine. Source: DESIGN section 3.
"""
