"""`status`: whether all is well, in one sentence, and the figures behind it."""

import sys
from collections.abc import Iterator

import click

from app import log
from app.commands.ops.reading import print_json, read
from app.ops.models import Overview
from app.ops.words import ago, plural


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(*, as_json: bool) -> None:
    """Say whether all is well, else what is wrong, who is hurt and what to do; exit with 0 only if all is well."""
    log.configure("logfmt", "error", stream=sys.stderr)
    overview = read(lambda reads: reads.overview())
    if as_json:
        print_json(overview)
    else:
        for line in _lines(overview):
            click.echo(line)
    sys.exit(0 if overview.is_well else 1)


def _lines(overview: Overview) -> Iterator[str]:
    yield overview.sentence
    for finding in overview.findings[1:]:
        yield f"Also: {finding.what}. {finding.hurts[0].upper()}{finding.hurts[1:]}. {finding.todo}"
    yield from overview.news
    yield ""
    yield f"{'sign-ups':18}{overview.sign_ups} in 24 hours"
    yield f"{'failing':18}{plural(overview.failing, 'delivery', 'deliveries')} of {_people(overview)}"
    for group in overview.failures:
        yield f"  {group.reason or 'bug':24}{group.deliveries:>6} since {group.since:%Y-%m-%d %H:%M} UTC"
    for event in sorted(overview.last_events, key=lambda event: event.age_seconds):
        yield f"{'last event':18}{event.type}, {ago(event.age_seconds)}"
    for age in overview.doubts:
        oldest = "" if age.oldest_seconds is None else f", the oldest {ago(age.oldest_seconds)}"
        yield f"{'open doubts':18}{age.number} in {age.table}{oldest}"
    for process in overview.processes:
        state = "not seen since" if process.is_silent else "seen"
        seen = f"{state} {process.seen_at:%Y-%m-%d %H:%M:%S} UTC"
        yield f"{'process':18}{process.host} {process.id}, release {process.release}, {seen}, breaker {process.breaker}"


def _people(overview: Overview) -> str:
    return plural(overview.people_failing, "person", "people")
