"""Sign requests to S3 with SigV4, with the credentials that were given or that the environment has.

1. The body's SHA-256 and every header that changes the request's meaning are under the signature.
2. Without credentials, botocore's own chain decides: environment, profile, instance role.

botocore is imported when the first request is signed, so a client of another adapter never pays for
it. What it does not do: send (`storage.http_requests`).
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hyperfed.errors import AccessDenied

__all__ = ["S3Credentials", "Signer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Credentials:
    """Holds the access key with which requests are signed.

    Its `repr` does not show the secret parts.
    """

    access_key: str
    """Name of the key (AWS: access key id)."""
    secret_key: str = field(repr=False)
    """Secret that signs the requests."""
    session_token: str | None = field(default=None, repr=False)
    """Token of temporary credentials; None for lasting ones."""


class Signer:
    """Signs requests for `region` with `credentials`; None: with those of the environment."""

    def __init__(self, credentials: S3Credentials | None, region: str) -> None:
        self._given, self._region = credentials, region
        self._lock = threading.Lock()
        self._source: Any = None

    def headers(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, subject: str
    ) -> dict[str, str]:
        """Return the headers to send with a request: those given, and its signature.

        Raises AccessDenied, which names `subject`, where there are no credentials.
        """
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
        request.context["client_config"] = _signed_bodies()
        S3SigV4Auth(self._credentials(subject), "s3", self._region).add_auth(request)
        return {str(name): str(value) for name, value in request.headers.items()}

    def presigned(
        self, method: str, url: str, *, headers: Mapping[str, str], expires_s: int, subject: str
    ) -> str:
        """Return a URL that makes this request for `expires_s` seconds without credentials.

        Whoever uses it has to send `headers`. Raises AccessDenied as `headers` does.
        """
        from botocore.auth import S3SigV4QueryAuth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest(method=method, url=url, headers=dict(headers))
        signer = S3SigV4QueryAuth(self._credentials(subject), "s3", self._region, expires=expires_s)
        signer.add_auth(request)
        return str(request.url)

    def _credentials(self, subject: str) -> Any:
        """Return the credentials as botocore holds them, renewed where they ran out."""
        from botocore.credentials import Credentials
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        with self._lock:
            if self._source is None:
                stated_credentials = self._given
                try:
                    self._source = (
                        Credentials(
                            stated_credentials.access_key,
                            stated_credentials.secret_key,
                            stated_credentials.session_token,
                        )
                        if stated_credentials
                        else Session().get_credentials()
                    )
                except BotoCoreError as exc:
                    raise _no_credentials(subject, str(exc)) from exc
            if self._source is None:
                raise _no_credentials(subject, "")
            try:
                return self._source.get_frozen_credentials()
            except BotoCoreError as exc:
                raise _no_credentials(subject, str(exc)) from exc


@cache
def _signed_bodies() -> Any:
    """Return the setting by which a body is signed over HTTPS too."""
    from botocore.config import Config

    return Config(s3={"payload_signing_enabled": True})


def _no_credentials(subject: str, why: str) -> AccessDenied:
    return AccessDenied(
        f"there are no credentials{f': {why[:200]}' if why else ''}",
        subject=subject,
        remedy="Give access key and secret key, or set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or a profile",
    )
