"""A chat in the terminal: the service keeps the conversation, and Backboard answers.

The variables, which `./dev run` prints for its own service and its own Backboard:

  SERVICE_URL        of the service; http://127.0.0.1:8000 if it is not set
  SERVICE_TOKEN      one of the service's SERVICE_TOKENS
  BACKBOARD_API_KEY  the key that the service has too
  BACKBOARD_API_URL  https://app.backboard.io/api if it is not set

Stop it or the service at any time; the same command goes on with the conversation.
"""

import argparse
import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from clerk_backboard_sync import Client, Failure, NoAnswer, Problem, Retries
from clerk_backboard_sync.types import MessageRequest, OpenSessionRequest

T = TypeVar("T")

UNAUTHORIZED, TOO_MANY, UNAVAILABLE = 401, 429, 503


class BackboardFailed(Exception):
    """No whole reply; the sentence says why."""


@dataclass
class Reply:
    """What has come of a reply so far; `model` and `tokens` come with its end."""

    text: str = ""
    model: str | None = None
    tokens: int | None = None


class Conversation:
    """One session of a user, found by its name, and its thread at Backboard."""

    def __init__(
        self, service: Client, backboard: httpx.Client, clerk_id: str, name: str, scenario: str | None
    ) -> None:
        self.service = service
        self.backboard = backboard
        wanted: OpenSessionRequest = {"scenario": scenario} if scenario else {}
        # The key makes this one session, however often it is opened.
        self.session = insist(lambda: service.open_session(clerk_id, wanted, idempotency_key=name), is_known=False)
        self.unanswered: str | None = None

    def show(self) -> None:
        """Print the history; a question at its end was interrupted before its answer was stored."""
        for message in insist(lambda: self.service.list_messages(self.session["id"]))["messages"]:
            print(f"{message['role']}: {message['content']}")
            self.unanswered = message["content"] if message["role"] == "user" else None

    def say(self, content: str) -> None:
        self._store({"role": "user", "content": content})
        self.unanswered = content

    def answer(self) -> None:
        """Print Backboard's reply to the last question word by word, and store it with its model and tokens."""
        if self.unanswered is None:
            return
        reply = Reply()
        print("assistant: ", end="", flush=True)
        try:
            for word in self._ask(self.unanswered, reply):
                print(word, end="", flush=True)
        finally:
            print()
        metadata = {"model": reply.model, "tokens": reply.tokens}
        self._store({"role": "assistant", "content": reply.text, "metadata": metadata})
        self.unanswered = None

    def _store(self, message: MessageRequest) -> None:
        # One id for all tries, so that the message is stored once although an answer was lost.
        message["id"] = str(uuid.uuid4())
        insist(lambda: self.service.add_message(self.session["id"], message))

    def _ask(self, content: str, reply: Reply) -> Iterator[str]:
        """The words of Backboard's reply as they come; BackboardFailed if it does not come to its end."""
        if self.session["thread_id"] is None:
            raise BackboardFailed("the thread is gone; --session with a new name begins another conversation")
        scenario = self.session["scenario"] or {"system_prompt": None, "model": None}
        turn = {
            "assistant_id": self.session["assistant_id"],
            "thread_id": self.session["thread_id"],
            "content": content,
            "stream": True,
            "memory": "Auto",
            "system_prompt": scenario["system_prompt"],
            "model_name": scenario["model"],
        }
        body = {name: value for name, value in turn.items() if value is not None}
        try:
            with self.backboard.stream("POST", "/threads/messages", json=body) as response:
                if response.status_code == UNAUTHORIZED:
                    sys.exit("Backboard refused BACKBOARD_API_KEY.")
                if not response.is_success:
                    raise BackboardFailed(f"it answered {response.status_code}")
                yield from read_events(response.iter_lines(), reply)
        except (httpx.HTTPError, ValueError) as error:
            raise BackboardFailed(str(error) or type(error).__name__) from None


def read_events(lines: Iterator[str], reply: Reply) -> Iterator[str]:
    """The words in Backboard's events (server-sent events, one line of JSON each)."""
    for line in lines:
        if not line.startswith("data: "):
            continue
        event: dict[str, Any] = json.loads(line.removeprefix("data: "))
        match event.get("type"):
            case "content_streaming":
                reply.text += event["content"]
                yield event["content"]
            case "run_ended" if event.get("status") in {None, "completed"}:
                reply.model, reply.tokens = event.get("model_name"), event.get("total_tokens")
                return
            case "error" | "run_failed" | "run_ended":
                raise BackboardFailed(str(event.get("error") or event.get("message") or event.get("status")))
    raise BackboardFailed("the reply ended early")


def insist(call: Callable[[], T], *, is_known: bool = True) -> T:
    """Repeat a call until the service is back; Ctrl-C ends the waiting.

    Before the service `is_known`, an address without an answer is a mistake.
    """
    while True:
        try:
            return call()
        except NoAnswer as failure:
            if not is_known:
                raise
            wait(failure)
        except Problem as problem:
            if problem.status not in {TOO_MANY, UNAVAILABLE}:
                raise
            wait(problem)


def wait(failure: Failure) -> None:
    print(f"({failure} Trying again; Ctrl-C stops.)", file=sys.stderr)
    time.sleep(1 if failure.retry_after is None else failure.retry_after)


def chat(conversation: Conversation) -> None:
    """A turn for each line that is typed; an empty one asks for the answer that is missing."""
    conversation.show()
    lines = prompt() if sys.stdin.isatty() else map(str.strip, sys.stdin)
    while True:
        try:
            conversation.answer()
        except BackboardFailed as failure:
            print(f"(Backboard: {failure}. An empty line asks again.)", file=sys.stderr)
        line = next(lines, None)
        if line is None:
            return
        if line:
            conversation.say(line)


def prompt() -> Iterator[str]:
    while True:
        try:
            yield input("user: ").strip()
        except EOFError:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clerk_id", nargs="?", default="user_local", metavar="USER_ID", help="by default user_local")
    parser.add_argument("--session", default="chat", metavar="NAME", help="the conversation, by default chat")
    parser.add_argument("--scenario", metavar="SLUG", help="what a new conversation begins from: city-trip")
    options = parser.parse_args()
    url = os.environ.get("SERVICE_URL", "http://127.0.0.1:8000")
    headers = {"X-API-Key": os.environ["BACKBOARD_API_KEY"]}
    backboard_url = os.environ.get("BACKBOARD_API_URL", "https://app.backboard.io/api")
    with (
        # Repetitions are ours, so that the person sees that they wait.
        Client(url, os.environ["SERVICE_TOKEN"], retries=Retries(tries=1)) as service,
        httpx.Client(base_url=backboard_url, headers=headers, timeout=60) as backboard,
    ):
        chat(Conversation(service, backboard, options.clerk_id, options.session, options.scenario))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on with this conversation.", file=sys.stderr)
        sys.exit(130)
    except Problem as problem:
        hint = "SERVICE_TOKEN is none of the service's SERVICE_TOKENS.\n" if problem.status == UNAUTHORIZED else ""
        sys.exit(f"{hint}{problem}")
    except KeyError as error:
        sys.exit(f"{error.args[0]} is not set.\n\n{__doc__}")
    except (NoAnswer, httpx.InvalidURL, ValueError) as error:
        sys.exit(f"{error}\n\n{__doc__}")
