"""A coordinator that is killed: reads "operations prefix" lines, forks, and the child runs round 2
until it sends itself SIGKILL after that operation.

Says "killed" or "ended" for each. The parent never touches the store, so that each child starts
with no thread and no connection.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

from hyperfed.storage.s3 import S3Credentials, S3Store
from hyperfed.storage.store import ObjectInfo, ObjectStore
from hyperfed.testing.federation import SmallFederation

T = TypeVar("T")
ROUND = 2


class Doomed(ObjectStore):
    """`inner`, whose process dies by SIGKILL when `left` operations have been carried out."""

    def __init__(self, inner: ObjectStore, left: int) -> None:
        self.inner, self.left = inner, left

    def _do(self, operation: Callable[[], T]) -> T:
        answer = operation()
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    def put_if_absent(self, key: str, data: bytes | memoryview) -> bool:
        return self._do(lambda: self.inner.put_if_absent(key, data))

    def read(self, key: str, *, max_bytes: int) -> bytes:
        return self._do(lambda: self.inner.read(key, max_bytes=max_bytes))

    def head(self, key: str) -> ObjectInfo | None:
        return self._do(lambda: self.inner.head(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(self._do(lambda: [*self.inner.list(prefix)]))


def main(endpoint: str, bucket: str, access_key: str, secret_key: str) -> None:
    fed = SmallFederation()  # the same keys and instants as in the test: they follow from names
    for line in sys.stdin:
        operations, prefix = line.split()
        child = os.fork()
        if child == 0:
            store = S3Store(
                bucket,
                prefix=prefix,
                endpoint_url=endpoint,
                credentials=S3Credentials(access_key=access_key, secret_key=secret_key),
            )
            fed.runner(ROUND, store=Doomed(store, int(operations))).run(ROUND)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            print("killed", flush=True)
        else:
            print("ended" if status == 0 else f"failed with {status}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
