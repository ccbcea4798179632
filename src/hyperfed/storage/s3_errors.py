"""Turn the answers of an S3 store into our errors.

Each error names the object, repeats what the store said, and says what to do. None shows a
credential.
"""

from hyperfed.errors import (
    AccessDenied,
    ObjectNotFound,
    StoreUnsuitable,
    TransientError,
    TransportError,
)
from hyperfed.storage.http_requests import Said, error_of_way

__all__ = ["error_of_answer", "is_passing"]

_KEY_REMEDIES = {
    "InvalidAccessKeyId": "Check the access key: the store does not know it",
    "SignatureDoesNotMatch": "Check the secret key: it does not belong to this access key; or a "
    "proxy on the way changes requests",
    "ExpiredToken": "The session token has expired: get a new one",
    "InvalidToken": "The session token is not valid: get a new one",
    "RequestTimeTooSkewed": "Set this machine's clock: it differs from the store's by more "
    "than the store allows",
}
_POLICY = (
    "Check access key, secret key and the policy: reading, writing and listing this prefix must "
    "be allowed"
)
_OTHER_REGION = (
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
)
_OTHER_ADDRESSING = ("SecondLevelDomainForbidden", "VirtualHostDomainRequired")


def is_passing(answer: Said) -> bool:
    """Return whether an error answer is worth another try."""
    return (answer.status >= 500 and answer.status != 501 and answer.code != "NotImplemented") or (
        answer.status in (408, 409, 425, 429)
        or answer.code in ("RequestTimeout", "SlowDown", "InternalError", "Throttling")
    )


def error_of_answer(answer: Said, *, subject: str, bucket: str, endpoint: str) -> TransportError:
    """Return the error that an answer of the store other than a success stands for."""
    if answer.code == "NoSuchBucket":
        return TransportError(
            f"there is no bucket {bucket!r} at {endpoint}",
            subject=subject,
            remedy="Create it, or check the name and the endpoint",
        )
    if answer.code in _OTHER_REGION or (answer.region and 300 <= answer.status < 400):
        region = f" {answer.region!r}" if answer.region else " to the bucket's own"
        return TransportError(
            f"the bucket is in another region ({answer})",
            subject=subject,
            remedy=f"Set [store] region{region}",
        )
    if answer.code in _OTHER_ADDRESSING:
        return TransportError(
            f"the store wants the bucket's name in the host's ({answer})",
            subject=subject,
            remedy='Set [store] addressing = "virtual"',
        )
    if (way := error_of_way(answer, subject)) is not None:
        return way
    if 300 <= answer.status < 400:
        where = f", to {answer.leads_to}" if answer.leads_to else ""
        return TransportError(
            f"the answer leads elsewhere ({answer}{where}), which is not followed",
            subject=subject,
            remedy="A proxy's sign-in page, or a moved bucket: check [store] endpoint and region",
        )
    if "quota" in answer.code.lower() or answer.status == 507 or " cap exceeded" in answer.message:
        return TransportError(
            f"the store has no room left ({answer})",
            subject=subject,
            remedy="Raise the bucket's quota or cap, or prune old rounds",
        )
    if answer.code in _KEY_REMEDIES or answer.status in (401, 403):
        return AccessDenied(
            f"the store refuses it ({answer})",
            subject=subject,
            remedy=_KEY_REMEDIES.get(answer.code, _POLICY),
        )
    if answer.code == "NoSuchKey" or answer.status == 404:
        return ObjectNotFound("there is no such object", subject=subject)
    if answer.code == "NotImplemented" or answer.status == 501 or "If-None-Match" in answer.message:
        return StoreUnsuitable(
            f"the store does not implement what was asked ({answer})",
            subject=subject,
            remedy="Use one with conditional writes (If-None-Match on PUT) and ranges on GET",
        )
    if is_passing(answer):
        return TransientError(
            f"the store failed ({answer})",
            subject=subject,
            remedy="Try again; if it lasts, look at the store's own state",
            asked_s=answer.asked_s,
        )
    return TransportError(
        f"the store refuses it ({answer})",
        subject=subject,
        remedy="See with `hyperfed check store` what this store can and cannot do",
    )
