"""What each `reason` means, and what to do about it: docs/log.md, docs/api.md, `doctor` and the problem documents.

A reason is the word of a refusal or a failure in the log, and the `code` of the answer to a caller who is let in. The
words are part of the contract and do not change. What a caller must treat differently has a word of its own.
"""

from collections.abc import Mapping

from app.errors import ServiceError
from app.reasons.outages import OUTAGES
from app.reasons.reason import Reason
from app.reasons.refusals import REFUSALS

__all__ = ["REASONS", "Reason", "meaning_of"]

REASONS: Mapping[str, Reason] = {**REFUSALS, **OUTAGES}


def meaning_of(error: ServiceError) -> str:
    """The sentence for an error, as the continuation of another: no capital of its own, no full stop."""
    meaning = REASONS[error.reason].meaning.removesuffix(".")
    return meaning[0].lower() + meaning[1:] if meaning.startswith(("A ", "The ", "There ", "What ")) else meaning
