"""The demonstration: 48 US states, three nights, a real S3 server, the real flows. `hyperfed demo` or `make demo`."""

from flows.demo.run import run_demo

__all__ = ["run_demo"]
