"""Test stores, transports and deployments with what this project is tested with.

`store_suite` is the conformance suite of every `ObjectStore`, and `transport_suite` that of every
`Transport`. `faults` is a store that loses, repeats and dies, and `mutation` damages packets.
`seaweedfs` is an S3 server on this machine. `federation` is a whole federation in memory, honest or
attacked.
"""

__all__: list[str] = []
