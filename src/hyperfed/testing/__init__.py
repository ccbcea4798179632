"""What this project is tested with, shipped so that users can test their own stores and deployments with it.

`store_suite` is the conformance suite of any `ObjectStore`, `transport_suite` that of any `Transport`; `faults` a store that loses, repeats and dies;
`seaweedfs` an S3 server on this machine; `federation` a whole federation in memory, honest or attacked.
"""

__all__: list[str] = []
