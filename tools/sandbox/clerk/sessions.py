"""What one Clerk instance says about sessions: one, those of a user, their tokens and the keys to check these with."""

import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tools.sandbox.clerk.errors import HttpError
from tools.sandbox.clerk.frontend_api import KEY_ID, jwk_of, new_key, session_token

LASTS_MS = 7 * 24 * 3600 * 1000


class Sessions:
    """The sessions of an instance; the key lasts as long as the stand-in, and is made when it is first needed."""

    def __init__(self) -> None:
        self.all: dict[str, dict[str, Any]] = {}
        self._key: RSAPrivateKey | None = None

    @property
    def key(self) -> RSAPrivateKey:
        self._key = self._key or new_key()
        return self._key

    def key_set(self) -> dict[str, Any]:
        return {"keys": [jwk_of(self.key, KEY_ID)]}

    def begin(self, clerk_id: str) -> dict[str, Any]:
        now = round(time.time() * 1000)
        number = len(self.all) + 1
        session = {
            "object": "session",
            "id": f"sess_{number:027d}",
            "client_id": f"client_{number:027d}",
            "user_id": clerk_id,
            "status": "active",
            "actor": None,
            "last_active_organization_id": None,
            "last_active_at": now,
            "expire_at": now + LASTS_MS,
            "abandon_at": now + LASTS_MS,
            "created_at": now,
            "updated_at": now,
        }
        self.all[str(session["id"])] = session
        return session

    def list(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        """Those of a user or a client, the newest first."""
        if not {"user_id", "client_id"} & set(query):
            raise HttpError(422, "form_param_missing")
        wanted = {name: query[name] for name in ("user_id", "client_id", "status") if name in query}
        return [one for one in reversed(self.all.values()) if all(one[name] in wanted[name] for name in wanted)]

    def get(self, session_id: str) -> dict[str, Any]:
        if session_id not in self.all:
            raise HttpError(404, "resource_not_found")
        return self.all[session_id]

    def end(self, session_id: str) -> dict[str, Any]:
        session = self.get(session_id)
        session["status"] = "revoked"
        return session

    def token(self, session_id: str, issuer: str) -> dict[str, Any]:
        """A session token, as the browser gets one."""
        session = self.get(session_id)
        if session["status"] != "active":
            raise HttpError(404, "resource_not_found")
        return {"object": "token", "jwt": session_token(self.key, session["user_id"], issuer, sid=session_id)}
