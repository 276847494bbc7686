"""The signatures of Clerk's webhooks: verifying a delivery, and signing one like Clerk's sender. No I/O.

The scheme is Svix's, also known as Standard Webhooks 1.0.0: HMAC-SHA256 over `id.timestamp.body`. The library's own
verify() is not used: on hostile headers it raises other kinds of errors, lets a malformed entry hide a valid one,
accepts signs and fractions in the timestamp, and takes no clock. Its sign() computes the code; the comparison is ours.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from svix.webhooks import Webhook

from app.errors import BadSignature

# Into the past and into the future, as in every Svix library: those compare with a clock that has fractions of a
# second, so a delivery that is exactly this old is too old.
TOLERANCE_SECONDS = 300
MAC_BYTES = 32

_ID = re.compile(rb"[A-Za-z0-9_-]{1,128}")
_TIMESTAMP = re.compile(rb"[1-9][0-9]{0,11}")
_SVIX = (b"svix-id", b"svix-timestamp", b"svix-signature")
_STANDARD = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
_NAMES = frozenset(_SVIX + _STANDARD)


@dataclass(frozen=True, slots=True)
class VerifiedDelivery:
    """A delivery with a valid signature: the message id, the same at every retry, and the index of the secret."""

    svix_id: str
    secret: int


class SignatureVerifier:
    """Verifies against one signing secret, or against two during a rotation."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = [(Webhook(secret), secret) for secret in secrets]

    def is_plausible(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether the three headers read well, before there is a body to verify."""
        try:
            _signature_headers(headers)
        except BadSignature:
            return False
        return True

    def verify(self, headers: Iterable[tuple[bytes, bytes]], body: bytes, now: float) -> VerifiedDelivery:
        """Check raw headers and raw body; BadSignature for any fault. `now` is in seconds since 1970."""
        svix_id, timestamp, signature = _signature_headers(headers)
        if not -TOLERANCE_SECONDS <= now - timestamp < TOLERANCE_SECONDS:
            raise BadSignature("stale")
        macs = _macs(signature)
        # Every entry is compared with every secret, so the duration does not tell which of them matched.
        matching = [
            index
            for index, (webhook, secret) in enumerate(self._secrets)
            if _matches(_expected(webhook, secret, svix_id, timestamp, body), macs)
        ]
        if not matching:
            raise BadSignature("signature")
        return VerifiedDelivery(svix_id, matching[0])


def sign(secret: bytes, svix_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that Clerk's sender would deliver `body` with; the trigger command and the tests use them."""
    mac = _expected(Webhook(secret), secret, svix_id, timestamp, body)
    return {
        "svix-id": svix_id,
        "svix-timestamp": str(timestamp),
        "svix-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def _signature_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, int, bytes]:
    """Id, timestamp and signature, one header each: svix-*, or webhook-* where no svix-* is sent; never a mixture."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _NAMES:
            values.setdefault(name, []).append(value)
    names = _SVIX if any(name in values for name in _SVIX) else _STANDARD
    try:
        (svix_id,), (timestamp,), (signature,) = (values.get(name, []) for name in names)
    except ValueError:
        raise BadSignature("headers") from None
    if not _ID.fullmatch(svix_id) or not _TIMESTAMP.fullmatch(timestamp) or not signature:
        raise BadSignature("headers")
    return svix_id.decode(), int(timestamp), signature


def _macs(signature: bytes) -> list[bytes]:
    """The codes of the v1 entries of a signature header; entries of another version or shape are skipped.

    During a rotation Svix signs with the current key and with up to ten old ones. The size of a request's head bounds
    how many fit.
    """
    macs = []
    for entry in signature.split(b" "):
        version, _, code = entry.partition(b",")
        if version != b"v1":
            continue
        try:
            mac = base64.b64decode(code, validate=True)
        except binascii.Error:
            continue
        # b64decode accepts loose bits and extra padding; only the canonical spelling counts.
        if len(mac) == MAC_BYTES and base64.b64encode(mac) == code:
            macs.append(mac)
    return macs


def _expected(webhook: Webhook, secret: bytes, svix_id: str, timestamp: int, body: bytes) -> bytes:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        # The library signs text only. A validly signed body that is not text is Clerk's mistake and gets a 422, not
        # the 400 of a wrong signature.
        return hmac.digest(secret, b"%s.%d." % (svix_id.encode(), timestamp) + body, "sha256")
    signed = webhook.sign(svix_id, datetime.fromtimestamp(timestamp, tz=UTC), text)
    return base64.b64decode(signed.removeprefix("v1,"))


def _matches(expected: bytes, macs: Sequence[bytes]) -> bool:
    return sum([hmac.compare_digest(expected, mac) for mac in macs]) > 0
