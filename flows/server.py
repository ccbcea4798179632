"""Check the Prefect server that a command is meant for, before anything is done.

The server must be named, and must answer.

1. Without an address Prefect starts a server of its own for the length of the command, with an
   empty database. It has no block and no deployment, and what is saved there is lost. A command
   that is meant for a server therefore refuses (`ConfigError`).
2. An address is PREFECT_API_URL in the environment, or that of the active profile.
3. A server that answers without a login is open to everybody who reaches it, and whoever reaches it
   decides what the worker's user runs. `check_authentication` refuses such a server.

What it does not do: start a server (`hyperfed dev` and `hyperfed demo` do).
"""

import ssl

from prefect.settings import (
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    PREFECT_API_URL,
)

from hyperfed.errors import AccessDenied, ConfigError, TransportError

__all__ = ["check_authentication", "check_server"]

_ANSWER_S = 20.0


def check_server() -> str:
    """Return the server's address.

    Raises ConfigError where none is named, AccessDenied where the server refuses the login, and
    TransportError where it does not answer.
    """
    url = PREFECT_API_URL.value()
    if not url:
        raise ConfigError(
            "no Prefect server is named, and this command starts none of its own",
            subject="PREFECT_API_URL",
            remedy="export PREFECT_API_URL=https://prefect.example/api, or choose a profile "
            "that has it: prefect profile use NAME",
        )
    import httpx  # imported here, so that a refusal does not wait for it
    from prefect import get_client

    try:
        with get_client(sync_client=True) as client:
            client.api_version()
    # RuntimeError: Prefect's own "Failed to reach API"
    except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as exc:
        answer = exc if isinstance(exc, httpx.HTTPStatusError) else exc.__cause__
        if isinstance(answer, httpx.HTTPStatusError) and answer.response.status_code in (401, 403):
            raise AccessDenied(
                "refuses this login",
                subject=url,
                remedy="Set PREFECT_API_AUTH_STRING, or PREFECT_API_KEY, to what the server "
                "asks for",
            ) from exc
        raise TransportError(
            f"does not answer as a Prefect server: {str(exc).splitlines()[0]:.200}"
            if str(exc)
            else "does not answer as a Prefect server",
            subject=url,
            remedy="Start it with `prefect server start`, or wait: a first start takes a minute. "
            "Or correct PREFECT_API_URL, which ends in /api",
        ) from exc
    return str(url)


def check_authentication(url: str) -> None:
    """Raise AccessDenied where the server at `url` answers a request without a login.

    Raises TransportError where it does not answer at all.
    """
    import httpx

    try:
        # no credential of Prefect's settings goes along; /health would answer in any case
        answer = httpx.get(
            f"{url.rstrip('/')}/admin/version", timeout=_ANSWER_S, verify=_certificates()
        )
    except httpx.HTTPError as exc:
        raise TransportError(
            f"does not answer: {exc!s:.200}", subject=url, remedy="Check PREFECT_API_URL"
        ) from exc
    if answer.is_success:
        raise AccessDenied(
            "answers without a login, so whoever reaches it runs flows as the worker's user",
            subject=url,
            rule="R-140",
            remedy="Start the server with PREFECT_SERVER_API_AUTH_STRING=NAME:SECRET, and set "
            "PREFECT_API_AUTH_STRING here; or give --without-login where nobody else reaches it",
        )


def _certificates() -> ssl.SSLContext | bool:
    """Return how the server's certificate is verified: as Prefect's own client does it."""
    if PREFECT_API_TLS_INSECURE_SKIP_VERIFY.value():
        return False
    authority = PREFECT_API_SSL_CERT_FILE.value()
    return ssl.create_default_context(cafile=authority) if authority else True
