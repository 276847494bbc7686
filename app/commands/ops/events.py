"""`events`: the deliveries of Clerk's events and the ensure-users that made a user or failed, newest first."""

import re
import sys
from datetime import UTC, datetime, timedelta

import click

from app import log
from app.commands.ops.reading import print_json, read
from app.ops.models import Delivery, DeliveryFilter

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=36_525)


class Age(click.ParamType[timedelta]):
    """`30m`, `2h`, `7d`."""

    name = "age"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        match = re.fullmatch(r"([0-9]{1,6})([smhd])", str(value))
        if match is None:
            self.fail("is a number and s, m, h or d, such as 2h", param, ctx)
        age = timedelta(**{_UNITS[match[2]]: int(match[1])})
        if age > _LONGEST:
            self.fail("is over a hundred years", param, ctx)
        return age


@click.command()
@click.option("--failing", is_flag=True, help="Only what failed and did not heal.")
@click.option("--since", type=Age(), help="Only what was tried in this time, such as 2h.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def events(*, failing: bool, since: timedelta | None, limit: int, as_json: bool) -> None:
    """List the deliveries of Clerk's events, newest first: what became of each, why it failed, whether it healed."""
    log.configure("logfmt", "error", stream=sys.stderr)
    wanted = DeliveryFilter(failing=failing, since=None if since is None else datetime.now(UTC) - since)
    page = read(lambda reads: reads.deliveries(wanted, page_size=limit))
    if as_json:
        print_json(page.deliveries)
        return
    for delivery in page.deliveries:
        click.echo(_line(delivery))
    if not page.deliveries:
        click.echo("There are none.")
    if page.following is not None:
        click.echo(f"There are more; --limit {limit} ends here.")


def _line(one: Delivery) -> str:
    what = one.outcome or one.reason or "bug"
    tries = f"{one.tries} tries" if one.tries > 1 else ""
    healed = f"healed {one.resolved_at:%H:%M:%S}" if one.resolved_at else ""
    words = [f"{one.type or '?':16}", f"{what:22}", one.clerk_id or "-", one.svix_id, tries, healed]
    return f"{one.last_at:%Y-%m-%d %H:%M:%S} UTC  {one.status}  " + " ".join(word for word in words if word)
