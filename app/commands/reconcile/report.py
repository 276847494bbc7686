"""The result of a run of reconcile, as JSON and as a table: ids and counts, no names or addresses."""

import json
from dataclasses import asdict, dataclass

from app.commands.reconcile.models import DESTRUCTIVE, KINDS, STATES, ScanResult
from app.commands.reconcile.threads import ThreadResult
from app.commands.runtime import Echo

# In the table; --json has them all.
MAX_LINES = 200


@dataclass(frozen=True, slots=True)
class Report:
    """What was found and repaired; `attempts_left` counts the attempt rows that are still there."""

    all_users: bool
    applied: bool
    scan: ScanResult
    attempts_left: int
    threads: ThreadResult
    failures: int = 0

    @property
    def clean(self) -> bool:
        """Whether everything is repaired, or waits for the end of its grace period."""
        return (
            not self.failures
            and not self.threads.left
            and all(one.state in ("mended", "waiting") for one in self.scan.findings())
        )


def as_json(report: Report) -> str:
    scan = report.scan
    document = {
        "looked_at": "everybody" if report.all_users else "attempts",
        "applied": report.applied,
        "clean": report.clean,
        "counts": {kind: {state: scan.count(kind, state) for state in STATES} for kind in KINDS},
        "findings": [asdict(finding) for finding in scan.findings()],
        "users": scan.live_users,
        "assistants": {
            "ours": scan.our_assistants,
            "strange": scan.other_assistants,
            "listing_cut": scan.is_listing_cut,
        },
        "attempts": {"found": scan.attempts, "left": report.attempts_left},
        "threads": {"found": report.threads.found, "left": report.threads.left},
        "failures": report.failures,
        "last_change_seconds": scan.seconds_since_change,
    }
    return json.dumps(document, indent=2)


def refusal_as_json(reason: str) -> str:
    """What --json prints instead of a report when the run is refused."""
    return json.dumps({"refused": reason}, indent=2)


def print_table(report: Report, echo: Echo) -> None:
    """Print the findings line by line, then the counts, then what to do."""
    scan, findings = report.scan, report.scan.findings()
    if findings:
        echo(f"{'finding':<10} {'state':<8} {'user':<36} assistant")
    for finding in findings[:MAX_LINES]:
        echo(f"{finding.kind:<10} {finding.state:<8} {finding.clerk_id:<36} {finding.assistant_id or '-'}")
    if len(findings) > MAX_LINES:
        echo(f"... and {len(findings) - MAX_LINES} more; --json has them all")
    echo(f"{'':<10}" + "".join(f"{state:>9}" for state in STATES))
    for kind in KINDS:
        echo(f"{kind:<10}" + "".join(f"{scan.count(kind, state):>9}" for state in STATES))
    echo(
        f"{scan.live_users} users, {scan.our_assistants} assistants of ours"
        + (" in sight; Backboard lists no more" if scan.is_listing_cut else "")
        + f", {scan.other_assistants} others under the prefix,"
        f" {report.attempts_left} of {scan.attempts} attempt rows open"
    )
    if report.threads.found:
        echo(f"{report.threads.left} of {report.threads.found} threads of deleted sessions are still to be deleted")
    if scan.seconds_since_change is not None:
        echo(f"a row last changed {scan.seconds_since_change} seconds ago")
    echo(_advice(report))


def _advice(report: Report) -> str:
    if not report.clean and not report.applied:
        return "Nothing was changed; --apply repairs this."
    if not report.clean:
        return f"Not everything could be repaired ({report.failures} users failed); run it again."
    if any(report.scan.count(kind, "waiting") for kind in DESTRUCTIVE) or report.attempts_left:
        return "What waits is checked again by a run after its grace period."
    if report.all_users:
        return "All is well."
    return "All is well as far as the attempt rows tell; --all checks every user."
