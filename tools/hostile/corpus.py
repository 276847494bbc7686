"""The hostile corpus: raw requests that smuggle, pipeline, upgrade or break off."""

import gzip
import json
from functools import cache
from itertools import accumulate, pairwise
from typing import NamedTuple

from tools.processes import ROOT

_FILE = ROOT / "tests" / "http" / "hostile_corpus.json.gz"
ROUNDS = 5
# The request id of the request that a case smuggles; of this length, since lengths count it.
_SMUGGLED = "smuggled-000000000000000"


class Case(NamedTuple):
    """One client's bytes.

    `pieces` are Latin-1, each sent as a write of its own. `answered` is how many requests the service answers when it
    is asked directly, `smuggled` how many of those are the smuggled one; a refusal by the connection is no answer.
    """

    group: str
    name: str
    pieces: list[str]
    answered: int
    smuggled: int

    def bytes_to_send(self, number: int) -> list[bytes]:
        """The pieces, with a request id that tells this case's smuggled request from every other's."""
        whole = "".join(self.pieces).replace(_SMUGGLED, f"smuggled-{number:015}").encode("latin-1")
        ends = [0, *accumulate(map(len, self.pieces))]
        return [whole[start:end] for start, end in pairwise(ends)]


@cache
def corpus() -> list[Case]:
    """All cases."""
    return [Case(*case) for case in json.loads(gzip.decompress(_FILE.read_bytes()))]


def campaign_cases(every: int = 1) -> list[Case]:
    """Every N-th case, and those that were written by hand several times.

    Most of these pass a proxy, and it is a matter of milliseconds whether another client is the next on its connection.
    """
    return [case for case in corpus()[::every] for _ in range(ROUNDS if case.group == "hand" else 1)]
