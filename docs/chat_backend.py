"""A chat backend on top of the service: python docs/chat_backend.py USER_ID, then a line for each thing to say.

It keeps nothing itself. Stop it or the service at any time: the conversation continues from its last message.
SERVICE_TOKEN holds one of the service's SERVICE_TOKENS, and SERVICE_URL its address, by default this machine's.
"""

import os
import sys
import time
from typing import Any

import httpx


class Conversation:
    """One conversation of a user, known by its name; `session["thread_id"]` is its thread at Backboard."""

    def __init__(self, client: httpx.Client, clerk_id: str, name: str = "trip") -> None:
        self.client = client
        # The key makes this one session, however often it is requested, and even by two backends at once.
        self.session = self.request("POST", f"/users/{clerk_id}/sessions", {}, {"Idempotency-Key": name})

    def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """Wait out a 503 where the request may be repeated: a GET, or one with an Idempotency-Key."""
        while True:
            response = self.client.request(method, path, json=body, headers=headers)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE or not (method == "GET" or headers):
                response.raise_for_status()
                return response.json()
            time.sleep(int(response.headers["Retry-After"]))

    def say(self, role: str, content: str) -> list[dict[str, Any]]:
        """Add a message; returns the last ones, oldest first: the context for a model."""
        self.request("POST", f"/sessions/{self.session['id']}/messages", {"role": role, "content": content})
        return self.history()

    def history(self) -> list[dict[str, Any]]:
        return list(self.request("GET", f"/sessions/{self.session['id']}/messages?limit=50")["messages"])


def main(clerk_id: str, token: str) -> None:
    url = os.environ.get("SERVICE_URL", "http://127.0.0.1:8000")
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=15) as client:
        conversation = Conversation(client, clerk_id)
        for message in conversation.history():
            print(f"{message['role']}: {message['content']}")
        for line in filter(str.strip, sys.stdin):
            said = conversation.say("user", line.strip())
            reply = f"You said {said[-1]['content']!r}; that is message {len(said)}."  # Call your model here.
            conversation.say("assistant", reply)
            print(f"user: {line.strip()}\nassistant: {reply}")


if __name__ == "__main__":
    try:
        main(sys.argv[1], os.environ["SERVICE_TOKEN"])
    except KeyboardInterrupt:
        sys.exit(130)
    except (httpx.HTTPError, httpx.InvalidURL, LookupError, TypeError, ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}\n\n{__doc__}")
