"""Serve a relay: TLS both ways, with a certificate and keys that are renewed without a restart.

1. The relay shows its own certificate, and asks for one that a key of the registry has signed. Both
   are read anew with every connection, so a renewed certificate and a newer registry need no
   restart.
2. One process listens at one address; a second one at the same address is refused, and does not get
   every other connection.
3. A relay that ends first says NOT_SERVING, takes no new calls, and waits for those that are open.
4. The health service may have a port of its own without TLS, on this machine only, for whoever
   starts and watches processes.

What it does not do: restart itself, or write a log file.
"""

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hyperfed.errors import ConfigError
from hyperfed.relay.limits import RelayLimits
from hyperfed.relay.service import Parties, RelayService
from hyperfed.storage.filesystem import FilesystemStore
from hyperfed.storage.grpc_access import need_extra
from hyperfed.storage.grpc_messages import MAX_MESSAGE_BYTES
from hyperfed.storage.private_files import read_private

__all__ = ["KeysTrusted", "RelayServer", "ServerCertificate", "host_of"]

log = logging.getLogger(__name__)

_MAX_FILE_BYTES = 1 << 18
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class KeysTrusted(Parties, Protocol):
    """Knows the parties, and whom TLS trusts for them."""

    @property
    def version(self) -> int:
        """Return a number that changes with what is trusted."""

    def refresh(self) -> None:
        """Look for a newer version."""

    def anchors(self) -> bytes:
        """Return the authorities that TLS trusts, in PEM form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate:
    """Names the files of a relay's certificate and its private key, in PEM form."""

    certificate: Path
    """The certificate, and those between it and the authority."""
    private_key: Path
    """Its key, which others must not be able to read."""

    def stamp(self) -> tuple[int, ...]:
        """Return numbers that change where a file does."""
        return tuple(path.stat().st_mtime_ns for path in (self.certificate, self.private_key))

    def read(self) -> tuple[bytes, bytes]:
        """Return (private key, certificate).

        Raises ConfigError where one of them cannot be used, or they do not belong together.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec, rsa

        key = read_private(
            self.private_key,
            what="key",
            max_bytes=_MAX_FILE_BYTES,
            remedy="Make one with `hyperfed relay certificate`, or use that of your authority",
        ).encode()
        try:
            chain = self.certificate.read_bytes()
            first = x509.load_pem_x509_certificate(chain)
            private = serialization.load_pem_private_key(key, None)
        except OSError as exc:
            raise ConfigError(
                f"cannot be read: {exc.strerror}", subject=str(self.certificate)
            ) from exc
        except (ValueError, TypeError) as exc:
            raise ConfigError(
                "the certificate or its key is not in PEM form, or the key has a passphrase",
                subject=f"{self.certificate}, {self.private_key}",
            ) from exc
        if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ConfigError(
                "is no ECDSA or RSA key; gRPC's TLS takes no other",
                subject=str(self.private_key),
            )
        if private.public_key() != first.public_key():
            raise ConfigError(
                "does not belong to the certificate",
                subject=str(self.private_key),
                remedy=f"Give the key of {self.certificate}",
            )
        return key, chain


class RelayServer:
    """Serves the folder of `store` at `address`, "host:port"; port 0 is a free one.

    `parties` says who may do what. `health_address` is a port of this machine for the health
    service without TLS. The constructor raises ConfigError for what cannot be used.
    """

    def __init__(
        self,
        store: FilesystemStore,
        parties: KeysTrusted,
        *,
        address: str,
        certificate: ServerCertificate,
        limits: RelayLimits | None = None,
        health_address: str | None = None,
    ) -> None:
        need_extra()
        import grpc

        host_of(address)
        if health_address is not None and host_of(health_address) not in _LOOPBACK:
            raise ConfigError(
                "the health service without TLS is for this machine alone",
                subject=health_address,
                remedy="Use 127.0.0.1:PORT; other machines ask at the relay's own port",
            )
        limits = limits or RelayLimits()
        self._parties, self._certificate = parties, certificate
        self._lock = threading.Lock()
        self.service = RelayService(store, parties, limits)
        self._threads = ThreadPoolExecutor(limits.threads, thread_name_prefix="hyperfed-relay")
        self._server: Any = grpc.server(
            self._threads,
            handlers=self.service.handlers(),
            options=[*_options(limits).items()],
            maximum_concurrent_rpcs=limits.open_calls,
        )
        self._configured = (parties.version, certificate.stamp())
        credentials = grpc.dynamic_ssl_server_credentials(
            self._configuration(), self._changed_configuration, require_client_authentication=True
        )
        self.port = _bound(self._server.add_secure_port, address, credentials)
        """The port that it listens at."""
        self.health_port = 0
        """The port of the health service without TLS; 0: there is none."""
        if health_address is not None:
            self.health_port = _bound(self._server.add_insecure_port, health_address)

    def start(self) -> None:
        """Answer calls from now on, in threads."""
        self._server.start()

    def stop(self, grace_s: float) -> None:
        """Take no more calls, and wait at most `grace_s` for those that are open."""
        self.service.serving = False
        self._server.stop(grace_s).wait()
        self._threads.shutdown(wait=False)

    def _configuration(self) -> Any:
        import grpc

        return grpc.ssl_server_certificate_configuration(
            [self._certificate.read()], root_certificates=self._parties.anchors()
        )

    def _changed_configuration(self) -> Any:
        """Return what the next connection is made with; None: what the last one was."""
        try:
            self._parties.refresh()
            with self._lock:
                configured = (self._parties.version, self._certificate.stamp())
                if configured == self._configured:
                    return None
                configuration = self._configuration()
                self._configured = configured
        except Exception:
            log.exception("the certificate or the registry's keys were not taken over")
            return None
        return configuration


def _options(limits: RelayLimits) -> Mapping[str, int]:
    return {
        "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
        "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
        "grpc.http2.max_frame_size": MAX_MESSAGE_BYTES,
        # well above what a party may have open, which is counted by the service: streams that
        # have just ended count here too, and gRPC refuses some at random near the limit
        "grpc.max_concurrent_streams": 4 * limits.open_calls_per_party,
        "grpc.max_connection_idle_ms": 600_000,
        "grpc.server_handshake_timeout_ms": 10_000,
        "grpc.so_reuseport": 0,
    }


def host_of(address: str) -> str:
    """Return the host of an address to listen at. Raises ConfigError where it is not host:port."""
    host, colon, port = address.rpartition(":")
    if not host or not colon or not port.isdigit() or int(port) > 65_535:
        raise ConfigError(
            "not an address", subject=repr(address)[:120], remedy="Write it as host:port"
        )
    return host


def _bound(add: Any, address: str, *credentials: Any) -> int:
    try:
        bound: int = add(address, *credentials)
    except RuntimeError as exc:
        raise ConfigError(
            "cannot be listened at; another process may do so already",
            subject=address,
            remedy="Choose another port, or end the other process",
        ) from exc
    return bound
