"""Clerk's session tokens: which bearer tokens belong to a signed-in user, and to which one.

Every check that needs no key comes first, so that only a token that looks like this instance's can cause a fetch of
the keys. Facts: Clerk's documentation, "Session tokens"; the categories are those of clerk/javascript.
"""

import base64
import re
from collections.abc import Sequence
from time import time
from typing import Any

import jwt

from app import log
from app.clerk.documents import read_document
from app.clerk.jwks import WAIT_SECONDS, JwksCache, KeySource, StaticKey, build_jwks_client
from app.clerk.users import CLERK_ID
from app.deadline import Deadline
from app.errors import InvalidRequest, ServiceError
from app.settings import Settings

# Clerk keeps a session token below 4 KB, since it also travels as a cookie.
TOKEN_LENGTH = 8192
# How far Clerk's clock and this machine's may differ.
LEEWAY_SECONDS = 5
ALGORITHM = "RS256"
# `cat` names the class of a token. An instance that is told to send no class sends the second one on every token.
SESSION_CATEGORIES = ("cl_B7d4PD111AAA", "cl_I7d4PD111III")

_TOKEN = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_ACTOR = re.compile(r"[A-Za-z0-9_-]{1,80}")


class BadToken(ServiceError):
    """Not a valid session token; `reason` is for the log, the caller gets no reason."""


class SessionTokens:
    """Verifies the tokens of one Clerk instance; `issuer` is None where only the configured key identifies it."""

    def __init__(self, keys: KeySource, *, issuer: str | None, parties: Sequence[str]) -> None:
        self._keys = keys
        self._issuer = issuer
        self._parties = parties
        self._jws = jwt.PyJWS([ALGORITHM], {"enforce_minimum_key_length": True})

    async def verify(self, token: str, deadline: Deadline) -> str:
        """The Clerk id of the signed-in user; BadToken, or Unavailable while the key cannot be fetched."""
        match = _TOKEN.fullmatch(token) if len(token) <= TOKEN_LENGTH else None
        if match is None:
            raise BadToken("shape")
        header, claims = _decode(match[1]), _decode(match[2])
        kid = _check_header(header)
        self._check_claims(claims)
        clerk_id = _check_session(claims)
        key = await self._keys.get_key(kid, deadline.left(WAIT_SECONDS))
        if key is None:
            raise BadToken("key")
        try:
            self._jws.decode(token, key, algorithms=[ALGORITHM])
        except (jwt.PyJWTError, RecursionError) as error:
            # PyJWT reads the header again, with Python's own parser.
            raise BadToken("signature") from error
        if claims.get("act") is not None:
            log.bind(actor=_read_actor(claims["act"]))
        return clerk_id

    async def check_keys(self, deadline: Deadline) -> None:
        """Raise Unavailable if Clerk's keys can neither be found in memory nor fetched."""
        await self._keys.get_key("", deadline.left(WAIT_SECONDS))

    async def close(self) -> None:
        await self._keys.close()

    def _check_claims(self, claims: dict[str, Any]) -> None:
        now = time()
        expires, begins = claims.get("exp"), claims.get("nbf")
        if type(expires) is not int or expires + LEEWAY_SECONDS <= now:
            raise BadToken("expired")
        if type(begins) is not int or begins - LEEWAY_SECONDS > now:
            raise BadToken("not_yet")
        # Clerk always sends it; its own libraries compare it only where it is sent.
        issued = claims.get("iat", begins)
        if type(issued) is not int or issued - LEEWAY_SECONDS > now:
            raise BadToken("not_yet")
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise BadToken("issuer")
        if self._parties and claims.get("azp") not in self._parties:
            raise BadToken("party")


def build_session_tokens(settings: Settings) -> SessionTokens | None:
    """A verifier with the configured key or the issuer's key set; None where session tokens are not accepted."""
    keys: KeySource
    if settings.clerk_jwt_key is not None:
        keys = StaticKey(settings.clerk_jwt_key)
    elif settings.clerk_issuer is not None:
        keys = JwksCache(build_jwks_client(settings.clerk_issuer))
    else:
        return None
    return SessionTokens(keys, issuer=settings.clerk_issuer, parties=settings.clerk_authorized_parties)


def _check_header(header: dict[str, Any]) -> str:
    """The key id. A token with `crit` is rejected: it names extensions that a verifier must support."""
    if header.get("alg") != ALGORITHM or "crit" in header or "b64" in header:
        raise BadToken("algorithm")
    # OAuth access tokens are of type at+jwt; machine tokens have a category of their own.
    if header.get("typ", "JWT") != "JWT" or ("cat" in header and header["cat"] not in SESSION_CATEGORIES):
        raise BadToken("category")
    kid = header.get("kid")
    if not isinstance(kid, str) or not _KEY_ID.fullmatch(kid):
        raise BadToken("key")
    return kid


def _check_session(claims: dict[str, Any]) -> str:
    """The session's Clerk id. A session is pending until the user has completed the sign-in."""
    clerk_id, session = claims.get("sub"), claims.get("sid")
    if not isinstance(clerk_id, str) or not CLERK_ID.fullmatch(clerk_id):
        raise BadToken("subject")
    if not isinstance(session, str) or not session:
        raise BadToken("session")
    if claims.get("sts", "active") != "active":
        raise BadToken("pending")
    return clerk_id


def _read_actor(act: object) -> str:
    """The id of who acts as the user, `unknown` if it is no id: impersonation from Clerk's dashboard, or an agent."""
    actor = act.get("sub") if isinstance(act, dict) else None
    return actor if isinstance(actor, str) and _ACTOR.fullmatch(actor) else "unknown"


def _decode(segment: str) -> dict[str, Any]:
    try:
        # An instance may copy metadata into its tokens, and users write some of it.
        document = read_document(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (ValueError, InvalidRequest):
        raise BadToken("shape") from None
    if not isinstance(document, dict):
        raise BadToken("shape")
    return document
