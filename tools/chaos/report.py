"""The result of a campaign as one table."""

from collections import Counter

from tools.chaos.campaign import Result
from tools.chaos.history import APPEND, READ

# Of each kind.
MOST_EXAMPLES = 10
SHOWN = {"changes of a profile": "user.updated", "appends": APPEND, "histories": READ}


def lines(result: Result) -> list[str]:
    """What happened, what it led to, and every broken promise."""
    tally, history = result.tally, result.history
    between = "in transaction mode" if result.pooled else "none here"
    rows = [f"seed {result.seed}, PgBouncer: {between}", "", f"{'faults that happened':<50} {tally.total():>8,}"]
    rows += [f"  {kind:<48} {count:>8,}" for kind, count in sorted(tally.counts.items())]
    rows += [
        f"{'of them kill -9':<50} {tally.total('kill'):>8,}",
        f"{'of them database crashes':<50} {tally.total('database'):>8,}",
        f"{'of them cut connections':<50} {tally.total('cut'):>8,}",
        "",
        f"{'users':<50} {result.users:>8,}",
        f"{'operations':<50} {len(history.operations):>8,}",
    ]
    rows += [f"  {word:<48} {history.count(word):>8,}" for word in ("ok", "fail", "unknown")]
    rows += [f"  {f'of them {word}, ok':<48} {history.count('ok', kind):>8,}" for word, kind in SHOWN.items()]
    rows += [
        f"{'slowest response, seconds':<50} {history.slowest():>8.2f}",
        f"{'all servers ready after the last fault, seconds':<50} {result.recovered:>8.2f}",
        f"{'assistants without a live row, after the storm':<50} {result.orphans[0]:>8,}",
        f"{'  after the last deliveries':<50} {result.orphans[1]:>8,}",
        f"{f'  after reconcile ({result.reconciles} runs)':<50} {result.orphans[2]:>8,}",
        f"{'open attempts, at the same three times':<50} {' '.join(map(str, result.attempts)):>8}",
        "",
        f"{'violations':<50} {len(result.violations):>8,}",
    ]
    counts = Counter(violation.kind for violation in result.violations)
    rows += [f"  {kind:<48} {count:>8,}" for kind, count in sorted(counts.items())]
    for kind in sorted(counts):
        examples = [what for other, what in result.violations if other == kind]
        rows += [f"  {kind}: {what}" for what in examples[:MOST_EXAMPLES]]
    return rows
