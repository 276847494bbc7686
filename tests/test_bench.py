"""The benchmarks run; what they find is for people to read."""

import pytest

from bench import chat


def test_the_chat_is_measured(capfd: pytest.CaptureFixture[str]) -> None:
    """With a few messages: a line for each case, and three times in it."""
    chat.run(messages=2000, rounds=3)

    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith(" ")][1:]
    cases = ["history, short session", "history, long session", "append, short session", "append, long session"]
    assert [line[:24].strip() for line in lines] == [*cases, "search", "sessions"]
    assert all(float(figure) > 0 for line in lines for figure in line[24:].split())
