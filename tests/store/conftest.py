"""One server a session for each kind of S3, and stores that are empty at every call."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import pytest

from hyperfed.storage.s3 import S3Credentials, S3Store
from hyperfed.testing.seaweedfs import SeaweedFS
from tests.store.relays import RelayedFederation
from tests.store.scripted_server import ScriptedServer

_numbers = itertools.count()


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    """A server that answers as the test says."""
    server = ScriptedServer()
    thread = Thread(target=server.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.server.shutdown()
    thread.join()
    server.server.server_close()


@pytest.fixture
def relayed(tmp_path: Path) -> Iterator[Callable[..., RelayedFederation]]:
    """A function that founds a federation in a folder with a relay before it."""
    made: list[RelayedFederation] = []

    def make(**options: Any) -> RelayedFederation:
        made.append(RelayedFederation(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """The server, with a reader that may only read and a writer that may write in one folder of one
    bucket only.
    """
    folder: Path = tmp_path_factory.mktemp("seaweedfs")
    identities = {
        "reader": ["Read:suite", "List:suite"],
        "client": ["Write:suite/inbox/*", "Read:suite", "List:suite"],
    }
    with SeaweedFS(folder, identities=identities) as server:
        server.store("suite").close()
        yield server


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """moto's in-process server. It accepts any signature: nothing here may assert security against
    it. It looks whether a key is there and then writes it, each request in its own thread, so that
    a slow machine sees two winners of a race: one put at a time.
    """
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    one, put = Lock(), S3Response.put_object

    def put_alone(self: S3Response) -> Any:
        with one:
            return put(self)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Response, "put_object", put_alone)
        server.start()
        host, port = server.get_host_and_port()
        S3Store(
            "suite",
            endpoint_url=f"http://{host}:{port}",
            credentials=S3Credentials(access_key="moto", secret_key="moto"),
        ).ensure_bucket()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture(scope="session")
def new_prefix() -> Callable[[], str]:
    """A function that gives a prefix nobody used before."""
    return lambda: f"run-{next(_numbers):04d}"
