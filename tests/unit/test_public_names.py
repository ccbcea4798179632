"""The public names of the package, and that asking for none of them costs nothing."""

import subprocess
import sys

import pytest

import hyperfed

NAMES = [
    "CausalSemanticPack",
    "EdgeDelta",
    "FederationClientAgent",
    "FederationCoordinator",
    "FederationScheduler",
    "HTTPTransport",
    "HypergraphStore",
    "InMemoryTransport",
    "PacketValidator",
    "PathPack",
    "PayloadCodec",
    "PolicyPack",
    "PrivacyBudgetExhausted",
    "PrivacyGuard",
    "StoreReconciler",
    "Transport",
    "TrustScorer",
    "Update",
    "Vocabulary",
    "__version__",
    "build_reconciler",
]


def test_the_names_are_these() -> None:
    assert hyperfed.__all__ == NAMES
    assert set(NAMES) <= set(dir(hyperfed))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__version__"])
def test_each_is_the_object_of_its_module(name: str) -> None:
    value = getattr(hyperfed, name)
    assert value.__name__ == name
    assert value.__module__.startswith("hyperfed.")
    assert value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'PathPac'"):
        hyperfed.PathPac  # noqa: B018
    with pytest.raises(ImportError):
        from hyperfed import PathPac  # noqa: F401


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, hyperfed; print([n for n in ('numpy', 'nacl', 'boto3', 'msgpack', 'hyperfed.errors') if n in sys.modules], hyperfed.__version__)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == f"[] {hyperfed.__version__}"


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert version("hyperfed") == hyperfed.__version__
