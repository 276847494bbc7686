"""Decides whether the messages of each session are those that were acknowledged, once, whole and in one order.

A message is sent a second time under an id only, so one that stands twice was stored twice by the service. An append
without a 2xx may have been stored, but whole and once. All tries of an append are one: it began with the first of them,
and was acknowledged by the first that was answered.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from tools.chaos.history import APPEND, OPEN, PAGE, READ, Operation
from tools.chaos.violation import Violation


def check_messages(operations: Iterable[Operation], stored: dict[str, list[str]]) -> Iterator[Violation]:
    """`stored` has an entry for each session in the table, the texts of its messages in their order."""
    by_session: dict[str, list[Operation]] = defaultdict(list)
    opened: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in operations:
        if one.session_id:
            by_session[one.session_id].append(one)
        if one.kind == OPEN and one.result == "ok":
            opened[one.clerk_id, one.key].add(one.session_id)
    for (clerk_id, _), session_ids in opened.items():
        if len(session_ids) > 1:
            yield Violation("duplicate", f"{len(session_ids)} sessions of {clerk_id} under one key")
    for session_id, of_session in by_session.items():
        if session_id not in stored:
            yield Violation("lost", f"session {session_id}")
        else:
            yield from _Session(session_id, of_session, stored[session_id]).check()


class _Session:
    """One session: its operations, and where each message stands."""

    def __init__(self, session_id: str, operations: list[Operation], stored: list[str]) -> None:
        self._name = f"session {session_id}"
        self._appends = _whole_appends(one for one in operations if one.kind == APPEND)
        self._reads = [one for one in operations if one.kind == READ and one.result == "ok"]
        self._texts = stored
        self._places: dict[str, list[int]] = defaultdict(list)
        for place, text in enumerate(self._texts):
            self._places[text].append(place)

    def check(self) -> Iterator[Violation]:
        whole = []
        for append in self._appends:
            yield from self._check_append(append)
            if all(self._places[text] for text in append.texts):
                whole.append(append)
        sent = {text for append in self._appends for text in append.texts}
        if unsent := [place for place, text in enumerate(self._texts) if text not in sent]:
            yield Violation("phantom", f"{self._name}, {len(unsent)} messages that were never sent")
        yield from self._check_order(sorted(whole, key=self._first_place))
        for read in self._reads:
            yield from self._check_read(read)

    def _first_place(self, append: Operation) -> int:
        return self._places[append.texts[0]][0]

    def _check_append(self, append: Operation) -> Iterator[Violation]:
        places = [self._places[text] for text in append.texts]
        count = sum(map(bool, places))
        if any(len(each) > 1 for each in places):
            yield Violation("duplicate", f"{self._name}, a message twice")
        if count < len(places) and append.result == "ok":
            yield Violation("lost", f"{self._name}, {len(places) - count} of {len(places)} messages")
        elif 0 < count < len(places):
            yield Violation("torn", f"{self._name}, {count} of {len(places)} messages")
        elif count and [each[0] for each in places] != [*range(places[0][0], places[0][0] + count)]:
            yield Violation("disordered", f"{self._name}, {count} messages of one append")

    def _check_order(self, appends: list[Operation]) -> Iterator[Violation]:
        """What was sent after something had been acknowledged stands behind it."""
        latest = float("-inf")
        for append in appends:
            if append.result == "ok" and append.ended < latest:
                yield Violation("disordered", f"{self._name}, a message before one that was acknowledged earlier")
            latest = max(latest, append.began)

    def _check_read(self, read: Operation) -> Iterator[Violation]:
        """A page is what still stands there, and ends behind everything that had been acknowledged before."""
        missing = [text for text in read.texts if not self._places[text]]
        if missing:
            yield Violation("lost", f"{self._name}, {len(missing)} messages that a reader had seen")
            return
        first = self._places[read.texts[0]][0] if len(read.texts) == PAGE else 0
        if tuple(self._texts[first : first + len(read.texts)]) != read.texts:
            yield Violation("disordered", f"{self._name}, not as a reader had seen it")
        end = first + len(read.texts)
        known = [one for one in self._appends if one.result == "ok" and one.ended < read.began]
        if any(place >= end for one in known for text in one.texts for place in self._places[text]):
            yield Violation("lost", f"{self._name}, acknowledged messages were not in its history")


def _whole_appends(tries: Iterable[Operation]) -> list[Operation]:
    by_texts: dict[tuple[str, ...], list[Operation]] = defaultdict(list)
    for one in tries:
        by_texts[one.texts].append(one)
    return [_as_one(tries) for tries in by_texts.values()]


def _as_one(tries: list[Operation]) -> Operation:
    began = min(one.began for one in tries)
    acknowledged = [one for one in tries if one.result == "ok"]
    last = min(acknowledged or tries, key=lambda one: one.ended)
    return replace(last, began=began, seconds=last.ended - began)
