"""Clerk's events, without I/O: from headers and bytes to an event, and back for whoever plays the sender.

Three steps, three errors of their own: the headers' grammar and the signature (BadSignature, a stranger), then
JSON and shape (InvalidRequest, Clerk's or ours to mend). The scheme is Svix's, which is also Standard Webhooks 1.0.0:
HMAC-SHA256 over `id.timestamp.body`. The library's own verify() is not used, because on hostile headers it
raises errors of other kinds, lets one malformed entry hide a right one, takes signs and fractions in the
timestamp, and has no clock to set; its sign() computes the code, and we compare.
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

# The tolerance of every Svix library, either way.
TOLERANCE_SECONDS = 300
SIGNATURE_BYTES = 2048
SIGNATURE_ENTRIES = 10
MAC_BYTES = 32

_ID = re.compile(rb"[A-Za-z0-9_-]{1,128}")
_TIMESTAMP = re.compile(rb"[1-9][0-9]{0,11}")
_SVIX = (b"svix-id", b"svix-timestamp", b"svix-signature")
_STANDARD = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
_NAMES = frozenset(_SVIX + _STANDARD)


@dataclass(frozen=True, slots=True)
class VerifiedDelivery:
    """Who vouches for a body: the message's id (the same at every retry) and which secret matched."""

    svix_id: str
    secret: int


class SignatureVerifier:
    """Knows the signing secrets; during a rotation there are two, and either may have signed."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = [(Webhook(secret), secret) for secret in secrets]

    def verify(self, headers: Iterable[tuple[bytes, bytes]], body: bytes, now: float) -> VerifiedDelivery:
        """Judge a delivery by its raw headers and raw body; BadSignature for anything that is not right.

        `now` is in seconds since the epoch.
        """
        svix_id, timestamp, signature = _signature_headers(headers)
        if abs(int(now) - timestamp) > TOLERANCE_SECONDS:
            raise BadSignature("stale")
        macs = _macs(signature)
        # Every entry meets every secret, so the time taken tells nothing about which one came close.
        matching = [
            index
            for index, (webhook, secret) in enumerate(self._secrets)
            if _matches(_expected(webhook, secret, svix_id, timestamp, body), macs)
        ]
        if not matching:
            raise BadSignature("signature")
        return VerifiedDelivery(svix_id, matching[0])


def sign(secret: bytes, svix_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers with which Clerk's sender would deliver `body`; for the trigger command and the tests."""
    mac = _expected(Webhook(secret), secret, svix_id, timestamp, body)
    return {
        "svix-id": svix_id,
        "svix-timestamp": str(timestamp),
        "svix-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def _signature_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, int, bytes]:
    """Exactly one of each of svix-*, or, where none of those is there, of webhook-*; never a mixture."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _NAMES:
            values.setdefault(name, []).append(value)
    three = [values.get(name, []) for name in _SVIX]
    if not any(three):
        three = [values.get(name, []) for name in _STANDARD]
    if [len(given) for given in three] != [1, 1, 1]:
        raise BadSignature("headers")
    (svix_id,), (timestamp,), (signature,) = three
    if not _ID.fullmatch(svix_id) or not _TIMESTAMP.fullmatch(timestamp):
        raise BadSignature("headers")
    if not signature or len(signature) > SIGNATURE_BYTES:
        raise BadSignature("headers")
    return svix_id.decode(), int(timestamp), signature


def _macs(signature: bytes) -> list[bytes]:
    """The v1 codes of a signature header; entries of another version or shape are passed over."""
    entries = signature.split(b" ")
    if len(entries) > SIGNATURE_ENTRIES:
        raise BadSignature("headers")
    macs = []
    for entry in entries:
        version, _, code = entry.partition(b",")
        if version != b"v1":
            continue
        try:
            mac = base64.b64decode(code, validate=True)
        except binascii.Error:
            continue
        # b64decode forgives some spellings (loose bits, more padding); only the canonical one counts.
        if len(mac) == MAC_BYTES and base64.b64encode(mac) == code:
            macs.append(mac)
    return macs


def _expected(webhook: Webhook, secret: bytes, svix_id: str, timestamp: int, body: bytes) -> bytes:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        # The library signs text only. A rightly signed body that is not text is Clerk's mistake, not a
        # stranger's, and the answer must say so.
        return hmac.digest(secret, b"%s.%d." % (svix_id.encode(), timestamp) + body, "sha256")
    signed = webhook.sign(svix_id, datetime.fromtimestamp(timestamp, tz=UTC), text)
    return base64.b64decode(signed.removeprefix("v1,"))


def _matches(expected: bytes, macs: Sequence[bytes]) -> bool:
    return sum([hmac.compare_digest(expected, mac) for mac in macs]) > 0
