"""Implement the commit protocol without I/O: objects, ledger, Merkle tree and state machine.

Source: DESIGN section 3.
"""
