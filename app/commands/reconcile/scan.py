"""The reading half of reconcile: what stands at Clerk, in users and at Backboard. It changes nothing.

Attempt rows come first, however many users there are; with `everybody`, then Clerk's users against the rows, then
Backboard's assistants by prefix. Nothing counts as absent because a listing lacks it: an assistant is then asked for
by its id, and a user by theirs.
"""

from app.backboard.client import Backboard
from app.clerk.api import ClerkApi, IncompleteListing
from app.clerk.users import Profile
from app.commands.reconcile.models import (
    FEW_ROWS,
    SHARE,
    AssistantNames,
    GracePeriods,
    Named,
    NoClerkKey,
    ScanResult,
    UnsafeToProceed,
    UserDrift,
    check_candidates,
    check_missing_in_clerk,
    check_unclaimed,
)
from app.commands.reconcile.readers import Row, Tables, assistant_at_backboard, assistants_by_name, listing_of_backboard
from app.deadline import Deadline
from app.errors import Unavailable
from app.http.client import retry_reads

# Of a listing that is cut, so many rows are asked for by id to see whether the key is the right one.
SAMPLE = 20


class Scanner:
    """Looks once; each run has a new one."""

    def __init__(
        self,
        *,
        tables: Tables,
        backboard: Backboard,
        clerk: ClerkApi | None,
        names: AssistantNames,
        waits: GracePeriods,
        everybody: bool,
    ) -> None:
        self._tables = tables
        self._backboard = backboard
        self._clerk = clerk
        self._names = names
        self._waits = waits
        self._everybody = everybody
        self._notes: dict[str, Row] = {}
        self._rows: dict[str, Row] = {}
        self._listed: set[str] = set()
        # Which row holds an assistant that is listed: its own user's or, after somebody's renaming, another's.
        self._holders: dict[str, str] = {}
        self._named: dict[str, list[Named]] = {}
        self._clerk_ids: set[str] = set()
        self._undecided: dict[str, bool] = {}
        self._clerk_knows_us = False

    async def look(self) -> ScanResult:
        """Everything that is not as it should be; UnsafeToProceed when what was read is not to be believed.

        DatabaseUnavailable when there is no database to begin with.
        """
        if self._everybody and self._clerk is None:
            raise NoClerkKey("--all compares with Clerk's users")
        survey = ScanResult(await self._tables.begin())
        try:
            survey.silence = await self._tables.silence()
            await self._read_notes(survey)
            await self._read_clerk(survey)
            await self._read_backboard(survey)
            await self._read_rows(survey)
            await self._look_by_name(survey)
            await self._ask_clerk(survey)
        except Unavailable as error:
            raise UnsafeToProceed(f"not everything could be read ({error.reason})") from error
        except IncompleteListing as error:
            raise UnsafeToProceed(str(error)) from error
        for clerk_id, named in self._named.items():
            self._judge(survey, clerk_id, named)
        check_candidates(survey)
        return survey

    async def _read_notes(self, survey: ScanResult) -> None:
        async for note in self._tables.notes():
            self._notes[note.clerk_id] = note
            survey.case(note.clerk_id).noted = True
            if not (note.live or note.gone):
                self._undecided[note.clerk_id] = note.old
        survey.attempts = len(self._notes)

    async def _read_clerk(self, survey: ScanResult) -> None:
        if not self._everybody or self._clerk is None:
            return
        async for page in self._clerk.list_all_users(await retry_reads(self._clerk.count_users)):
            profiles = {profile.clerk_id: profile for profile in page.profiles}
            self._clerk_ids |= set(profiles)
            for clerk_id, known in (await self._tables.find(list(profiles))).items():
                profile, user = profiles[clerk_id], known.user
                if known.is_deleted:
                    continue
                if user is None:
                    _needs(survey, profile).add("missing")
                    continue
                self._clerk_knows_us = True
                version = profile.updated_at or user.clerk_updated_at
                same = version == user.clerk_updated_at
                if version > user.clerk_updated_at or (same and user.differs_from(profile)):
                    _needs(survey, profile).add("stale", user.assistant_id)

    async def _read_backboard(self, survey: ScanResult) -> None:
        listed, survey.cut = await listing_of_backboard(self._backboard)
        self._listed = set(listed)
        for assistant in listed.values():
            named = self._names.read(assistant)
            if named is not None:
                survey.matching += 1
                self._named.setdefault(named.clerk_id, []).append(named)
            elif self._names.is_under_prefix(assistant):
                survey.strange += 1

    async def _read_rows(self, survey: ScanResult) -> None:
        """Keep the rows that the rest depends on, and those whose assistant is not listed."""
        total, unlisted = 0, []
        async for row in self._tables.users():
            total += 1
            survey.live += row.live
            if row.held_id in self._listed:
                self._holders[row.held_id] = row.clerk_id
            elif row.live:
                unlisted.append(row)
            of_interest = row.clerk_id in self._notes or row.clerk_id in self._named
            if of_interest or (self._everybody and (survey.cut or row.clerk_id not in self._clerk_ids)):
                self._rows[row.clerk_id] = row
        check_unclaimed(total, self._notes, self._named)
        await self._check_key(survey, unlisted)

    async def _check_key(self, survey: ScanResult, unlisted: list[Row]) -> None:
        """Refuse when more rows point at nothing than accidents explain: the key is another environment's."""
        asked = unlisted[:SAMPLE] if survey.cut else unlisted
        of = len(asked) if survey.cut else survey.live
        most = max(FEW_ROWS, int(of * SHARE))
        lost: list[Row] = []
        for row in asked:
            if row.held_id and await assistant_at_backboard(self._backboard, row.held_id) is None:
                lost.append(row)
            if len(lost) > most or len(lost) == survey.live:
                raise UnsafeToProceed(
                    f"the assistants of {len(lost)} or more of {of} users are not at Backboard, which is no accident:"
                    " BACKBOARD_API_KEY belongs to another account than this database, as it seems"
                )
        for row in lost:
            survey.case(row.clerk_id).add("missing", row.held_id, "left")

    async def _look_by_name(self, survey: ScanResult) -> None:
        """Where the listing is cut, it says nothing about who is not in it: ask for each known user by name."""
        if not survey.cut:
            return
        for case in survey.cases.values():
            case.look_first = True
        known = {row.clerk_id for row in self._rows.values() if row.live} if self._everybody else set()
        for clerk_id, assistants in (await assistants_by_name(self._backboard, known | set(self._notes))).items():
            listed = self._named.setdefault(clerk_id, [])
            listed += [Named(one, clerk_id) for one in assistants if one.id not in self._listed]

    async def _ask_clerk(self, survey: ScanResult) -> None:
        """A definite word about every single user whom neither row, tombstone nor Clerk's listing decides about."""
        absent = [row for row in self._rows.values() if row.live and row.clerk_id not in self._clerk_ids]
        asked = dict(self._undecided)
        if self._everybody:
            check_missing_in_clerk(len(absent), survey.live)
            asked |= {row.clerk_id: row.old for row in absent}
            unknown = [one for one in self._named if one not in self._rows and one not in self._notes]
            known = await self._tables.find(unknown)
            undecided = [one for one in unknown if known[one].user is None and not known[one].is_deleted]
            self._undecided |= {one: self._waits.are_old(self._named[one]) for one in undecided}
            asked |= self._undecided
        asked = {one: old for one, old in asked.items() if one not in self._clerk_ids}
        if not asked:
            return
        if self._clerk is None:
            raise NoClerkKey(f"{len(asked)} users have neither a row nor a tombstone, and only Clerk can decide")
        for clerk_id, old in asked.items():
            self._decide(survey, clerk_id, await _get_user(self._clerk, clerk_id), old=old)
        if any(case.missing_in_clerk for case in survey.cases.values()):
            await self._check_clerk_key(self._clerk)

    def _decide(self, survey: ScanResult, clerk_id: str, profile: Profile | None, *, old: bool) -> None:
        row = self._rows.get(clerk_id)
        if profile is not None:
            self._clerk_knows_us = True
            if row is None:
                _needs(survey, profile).add("missing")
            return
        case = survey.case(clerk_id)
        case.missing_in_clerk = old
        # A young one waits: Clerk may tell of a new user a moment before it answers for them.
        case.add("deleted", row.held_id if row else None, "found" if old else "waiting")

    async def _check_clerk_key(self, clerk: ClerkApi) -> None:
        """Another instance's key would call everybody unknown, and a tombstone is for ever."""
        asked = 0
        if not self._clerk_knows_us:
            async for row in self._tables.users():
                if row.live and await _get_user(clerk, row.clerk_id) is not None:
                    self._clerk_knows_us = True
                asked += row.live
                if self._clerk_knows_us or asked >= SAMPLE:
                    break
        if not self._clerk_knows_us:
            raise UnsafeToProceed(
                "Clerk knows none of the users that were asked for: CLERK_SECRET_KEY belongs to another instance"
                " than this database, as it seems"
            )

    def _judge(self, survey: ScanResult, clerk_id: str, named: list[Named]) -> None:
        """What each assistant is to its user. What an earlier run has put aside is looked at in every run."""
        noted = clerk_id in self._notes
        renamed = [one for one in named if one.renamed_on is not None]
        if not (self._everybody or noted or renamed):
            return
        row, note = self._rows.get(clerk_id), self._notes.get(clerk_id)
        live = row.live if row else bool(note and note.live)
        holders = {one.assistant.id: self._holders.get(one.assistant.id) for one in named}
        kept = {one for one, holder in holders.items() if holder and (live or holder != clerk_id)}
        surplus = [one for one in named if one.assistant.id not in kept]
        if not surplus:
            return
        case = survey.case(clerk_id)
        case.renamed = renamed
        if case.profile is not None and not live:
            # To be adopted; what is left over then is found under the lock.
            case.look_first = True
            return
        case.skip_destructive = survey.cut and not (live or noted)
        stood_before = not live and clerk_id not in self._undecided
        for one in surplus if self._everybody or noted else renamed:
            due = self._waits.are_over(one, stood_before=stood_before)
            case.add("duplicate" if live else "orphaned", one.assistant.id, "found" if due else "waiting")


def _needs(survey: ScanResult, profile: Profile) -> UserDrift:
    """The case of a user whose profile has to be stored."""
    case = survey.case(profile.clerk_id)
    case.profile = profile
    return case


async def _get_user(clerk: ClerkApi, clerk_id: str) -> Profile | None:
    """A user by Clerk's definite answer."""
    return await retry_reads(lambda: clerk.get_user(clerk_id, Deadline()))
