"""One server a session for each kind of S3, and stores that are empty at every call."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hyperfed.adapters.s3 import S3Credentials, S3Store
from hyperfed.testing.seaweedfs import SeaweedFS

_numbers = itertools.count()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """The server, with a reader that may only read and a writer that may write in one folder of one bucket only."""
    folder: Path = tmp_path_factory.mktemp("seaweedfs")
    identities = {"reader": ["Read:suite", "List:suite"], "client": ["Write:suite/inbox/*", "Read:suite", "List:suite"]}
    with SeaweedFS(folder, identities=identities) as server:
        server.store("suite").close()
        yield server


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """moto's in-process server. It accepts any signature: nothing here may assert security against it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    S3Store("suite", endpoint_url=f"http://{host}:{port}", credentials=S3Credentials(access_key="moto", secret_key="moto")).ensure_bucket()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def new_prefix() -> Callable[[], str]:
    """A function that gives a prefix nobody used before."""
    return lambda: f"run-{next(_numbers):04d}"
