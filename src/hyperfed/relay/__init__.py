"""Relay objects: one small process before a folder, for federations without an object store.

A relay speaks the store's contract over gRPC (`storage.grpc_store` is the other side), and lets
each key of the registry do what `hyperfed iam` prints for its role.
"""
