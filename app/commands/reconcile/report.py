"""What a run of reconcile found and did, as JSON and as a table. It holds ids and counts, no names or addresses."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from app.commands.reconcile.models import DESTRUCTIVE, KINDS, ScanResult, State

# A terminal is no place for ten thousand lines; --json has them all.
LINES = 200


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, and what became of it."""

    everybody: bool
    applied: bool
    survey: ScanResult
    failures: int = 0
    notes_left: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing is left but what waits for its time."""
        return not self.failures and all(one.state in ("mended", "waiting") for one in self.survey.findings())


STATES: tuple[State, ...] = ("found", "mended", "waiting", "left")


def as_json(report: Report) -> str:
    survey = report.survey
    document = {
        "looked_at": "everybody" if report.everybody else "attempts",
        "applied": report.applied,
        "clean": report.clean,
        "counts": {kind: {state: survey.count(kind, state) for state in STATES} for kind in KINDS},
        "findings": [asdict(finding) for finding in survey.findings()],
        "users": survey.live,
        "assistants": {"ours": survey.matching, "strange": survey.strange, "listing_cut": survey.cut},
        "attempts": {"found": survey.attempts, "left": report.notes_left},
        "failures": report.failures,
        "last_change_seconds": report.survey.silence,
    }
    return json.dumps(document, indent=2)


def refusal_as_json(reason: str) -> str:
    """What a program reads instead of a report; nothing was changed."""
    return json.dumps({"refused": reason}, indent=2)


def as_table(report: Report, say: Callable[[str], object]) -> None:
    """For a person: the findings line by line, then the counts, then what they mean."""
    survey, findings = report.survey, report.survey.findings()
    if findings:
        say(f"{'finding':<10} {'state':<8} {'user':<36} assistant")
    for finding in findings[:LINES]:
        say(f"{finding.kind:<10} {finding.state:<8} {finding.clerk_id:<36} {finding.assistant_id or '-'}")
    if len(findings) > LINES:
        say(f"... and {len(findings) - LINES} more; --json has them all")
    say(f"{'':<10}" + "".join(f"{state:>9}" for state in STATES))
    for kind in KINDS:
        say(f"{kind:<10}" + "".join(f"{survey.count(kind, state):>9}" for state in STATES))
    say(
        f"{survey.live} users, {survey.matching} assistants of ours"
        + (" in sight; Backboard lists no more" if survey.cut else "")
        + f", {survey.strange} others under the prefix, {report.notes_left} of {survey.attempts} attempt rows open"
    )
    if report.survey.silence is not None:
        say(f"a row last changed {report.survey.silence} seconds ago")
    say(_advice(report))


def _advice(report: Report) -> str:
    if not report.clean and not report.applied:
        return "Nothing was changed; --apply mends this."
    if not report.clean:
        return f"Not everything could be mended ({report.failures} users failed); run it again."
    if any(report.survey.count(kind, "waiting") for kind in DESTRUCTIVE) or report.notes_left:
        return "What waits is looked at again by a run after its time."
    return (
        "All is well." if report.everybody else "All is well as far as the attempt rows tell; --all looks at everybody."
    )
