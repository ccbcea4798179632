"""Run the demonstration: 48 US states, three nights, a real S3 server, the real flows.

`hyperfed demo` and `make demo` start it.
"""

from flows.demo.run import run_demo

__all__ = ["run_demo"]
