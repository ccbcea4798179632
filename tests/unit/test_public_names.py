"""The public names of the package, and that asking for none of them costs nothing."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import hyperfed

# What README, the pages and the reference page write against. The whole list is `__init__.pyi`.
WRITTEN_AGAINST = {
    "CausalSemanticPack",
    "ClientMemory",
    "ClientSession",
    "Discovery",
    "EdgeDelta",
    "FederationClientAgent",
    "FederationCoordinator",
    "FederationScheduler",
    "GlobalModel",
    "HTTPTransport",
    "HierarchicalFederation",
    "HypergraphStore",
    "InMemoryTransport",
    "KeyPair",
    "PacketValidator",
    "PathPack",
    "PayloadCodec",
    "PolicyPack",
    "PrivacyGuard",
    "Registry",
    "RoundRunner",
    "StoreReconciler",
    "Transport",
    "TrustScorer",
    "Update",
    "Vocabulary",
    "audit",
    "build_reconciler",
    "open_store",
}
OBJECTS = [name for name in hyperfed.__all__ if name != "__version__"]


def _run(code: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return ran.stdout.strip()


def test_what_a_user_writes_against_is_there_and_every_error() -> None:
    from hyperfed import errors

    assert {*WRITTEN_AGAINST, *errors.__all__, "__version__"} <= set(hyperfed.__all__)
    assert set(hyperfed.__all__) <= set(dir(hyperfed))


@pytest.mark.parametrize("name", OBJECTS)
def test_each_is_the_object_of_its_module(name: str) -> None:
    value = getattr(hyperfed, name)
    assert value.__name__ == name
    assert value.__module__.startswith("hyperfed.")
    assert value.__doc__


def test_a_star_takes_them_all() -> None:
    names: dict[str, object] = {}
    exec("from hyperfed import *", names)  # noqa: S102 - a star is for a module's top level only
    assert set(hyperfed.__all__) <= set(names)
    assert names["audit"] is hyperfed.audit


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'PathPac'"):
        hyperfed.PathPac  # noqa: B018
    with pytest.raises(ImportError):
        from hyperfed import PathPac  # noqa: F401


def test_importing_the_package_imports_nothing_else() -> None:
    ran = _run("import sys, hyperfed; print([n for n in sys.modules if n.startswith('hyperfed.')])")
    assert ran == "[]"
    heavy = "[n for n in ('numpy', 'nacl', 'botocore', 'urllib3', 'msgpack') if n in sys.modules]"
    assert _run(f"import sys, hyperfed; print({heavy})") == "[]"


def test_a_name_brings_its_own_module_only() -> None:
    others = "[n for n in ('numpy', 'nacl', 'hyperfed.packets') if n in sys.modules]"
    assert _run(f"import sys; from hyperfed import ConfigError; print({others})") == "[]"


def test_the_version_is_that_of_the_distribution() -> None:
    assert version("hyperfed") == hyperfed.__version__
