"""Clerk's session tokens: whether a bearer is one of a user who is signed in, and who that user is.

Everything that can be judged without a key is judged first, so that only what looks like a token of this instance
can ever cause a fetch. Facts: Clerk's documentation, "Session tokens"; the categories stand in clerk/javascript.
"""

import base64
import binascii
import json
import re
from collections.abc import Sequence
from time import time
from typing import Any

import jwt

from app.clerk.jwks import FETCH_SECONDS, Keys, KeySet, OneKey, build_keys_client
from app.clerk.users import CLERK_ID
from app.deadline import Deadline
from app.errors import ServiceError
from app.settings import Settings

# Clerk keeps a session token below 4 KB, since it also travels as a cookie.
TOKEN_LENGTH = 8192
# How far the clocks of Clerk and of this machine may be apart.
LEEWAY_SECONDS = 5
ALGORITHM = "RS256"
# `cat` names the class of a token. The second stands on every token of an instance that is told to send none.
SESSION_CATEGORIES = ("cl_B7d4PD111AAA", "cl_I7d4PD111III")

_TOKEN = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class BadToken(ServiceError):
    """Not a session token that counts here; `reason` is for the log, the caller is told nothing."""


class SessionTokens:
    """Judges tokens of one Clerk instance; `issuer` is None where a configured key alone stands for it."""

    def __init__(self, keys: Keys, *, issuer: str | None, parties: Sequence[str]) -> None:
        self._keys = keys
        self._issuer = issuer
        self._parties = parties
        self._jws = jwt.PyJWS([ALGORITHM], {"enforce_minimum_key_length": True})

    async def verify(self, token: str, deadline: Deadline) -> str:
        """The Clerk id of the user who is signed in; BadToken, or Unavailable while the key cannot be had."""
        header, claims = _read(token)
        kid = _judge_header(header)
        self._judge_claims(claims)
        clerk_id = _judge_session(claims)
        key = await self._keys.find(kid, deadline.left(FETCH_SECONDS))
        if key is None:
            raise BadToken("key")
        try:
            self._jws.decode(token, key, algorithms=[ALGORITHM])
        except jwt.PyJWTError as error:
            raise BadToken("signature") from error
        return clerk_id

    async def check_keys(self, deadline: Deadline) -> None:
        """Return if Clerk's keys are at hand; Unavailable otherwise."""
        await self._keys.find("", deadline.left(FETCH_SECONDS))

    async def close(self) -> None:
        await self._keys.close()

    def _judge_claims(self, claims: dict[str, Any]) -> None:
        now = time()
        expires, begins = claims.get("exp"), claims.get("nbf")
        if type(expires) is not int or expires + LEEWAY_SECONDS <= now:
            raise BadToken("expired")
        if type(begins) is not int or begins - LEEWAY_SECONDS > now:
            raise BadToken("not_yet")
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise BadToken("issuer")
        if self._parties and claims.get("azp") not in self._parties:
            raise BadToken("party")


def build_session_tokens(settings: Settings) -> SessionTokens | None:
    """What the settings ask for: one configured key, or the issuer's key set; None takes no session tokens at all."""
    keys: Keys
    if settings.clerk_jwt_key is not None:
        keys = OneKey(settings.clerk_jwt_key)
    elif settings.clerk_issuer is not None:
        keys = KeySet(build_keys_client(settings.clerk_issuer))
    else:
        return None
    return SessionTokens(keys, issuer=settings.clerk_issuer, parties=settings.clerk_authorized_parties)


def _judge_header(header: dict[str, Any]) -> str:
    """The id of the key. `crit` announces rules that a reader must know, and we know none."""
    if header.get("alg") != ALGORITHM or "crit" in header or "b64" in header:
        raise BadToken("algorithm")
    # OAuth access tokens are at+jwt; machine tokens have a category of their own.
    if header.get("typ", "JWT") != "JWT" or ("cat" in header and header["cat"] not in SESSION_CATEGORIES):
        raise BadToken("category")
    kid = header.get("kid")
    if not isinstance(kid, str) or not _KEY_ID.fullmatch(kid):
        raise BadToken("key")
    return kid


def _judge_session(claims: dict[str, Any]) -> str:
    """Whose session it is. A pending one belongs to somebody who has not finished signing in."""
    clerk_id, session = claims.get("sub"), claims.get("sid")
    if not isinstance(clerk_id, str) or not CLERK_ID.fullmatch(clerk_id):
        raise BadToken("subject")
    if not isinstance(session, str) or not session:
        raise BadToken("session")
    if claims.get("sts", "active") != "active":
        raise BadToken("pending")
    return clerk_id


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    match = _TOKEN.fullmatch(token) if len(token) <= TOKEN_LENGTH else None
    if match is None:
        raise BadToken("shape")
    return _segment(match[1]), _segment(match[2])


def _segment(text: str) -> dict[str, Any]:
    try:
        document = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        raise BadToken("shape") from None
    if not isinstance(document, dict):
        raise BadToken("shape")
    return document
