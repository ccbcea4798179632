"""Define the object store's contract and its adapters, and open, retry, probe and erase stores.

Each adapter has a module of its own.
"""
