"""The reading half of reconcile: compares Clerk, users and Backboard, and changes nothing.

Without `all_users` it starts from the attempt rows alone. With it, it also compares Clerk's users with the rows, and
Backboard's assistants with both. Nothing counts as absent because a listing lacks it: the scan then asks for the
assistant or for the user by its id.
"""

from app.clerk.api import ClerkApi, IncompleteListing
from app.clerk.users import Profile
from app.commands.reconcile.models import (
    AssistantNames,
    GracePeriods,
    NamedAssistant,
    NoClerkKey,
    ScanResult,
    UnsafeToProceed,
    UserDrift,
)
from app.commands.reconcile.readers import Row, Tables, find_assistants, get_user, list_assistants
from app.commands.reconcile.safety import (
    check_candidates,
    check_clerk_key,
    check_missing_in_clerk,
    check_unclaimed,
    find_lost_assistants,
)
from app.components import Components
from app.errors import Unavailable
from app.http.client import retry_reads


class Scanner:
    """Scans once; each run has a new one."""

    _result: ScanResult

    def __init__(
        self, components: Components, names: AssistantNames, grace_periods: GracePeriods, *, all_users: bool
    ) -> None:
        min_age = grace_periods.min_age.total_seconds()
        self._tables = Tables(components.queries, components.query_pool, min_age)
        self._backboard = components.backboard
        self._clerk = components.clerk
        self._names = names
        self._grace_periods = grace_periods
        self._all_users = all_users
        # By Clerk id: attempt rows, the rows of users that matter here, assistants by their names.
        self._attempts: dict[str, Row] = {}
        self._rows: dict[str, Row] = {}
        self._named: dict[str, list[NamedAssistant]] = {}
        # The users without a row and a tombstone, and whether they may be judged yet.
        self._undecided: dict[str, bool] = {}
        # What Clerk lists, and what Backboard lists.
        self._clerk_ids: set[str] = set()
        self._listed: set[str] = set()
        # The user that has a listed assistant in the row: after a rename at Backboard, not the one of its name.
        self._owners: dict[str, str] = {}
        self._clerk_key_fits = False

    async def scan(self) -> ScanResult:
        """All differences; UnsafeToProceed when the sources cannot be trusted, NoClerkKey without Clerk's key.

        DatabaseUnavailable when the database cannot be reached at all.
        """
        if self._all_users and self._clerk is None:
            raise NoClerkKey("--all compares with Clerk's users")
        self._result = ScanResult(await self._tables.begin())
        try:
            self._result.seconds_since_change = await self._tables.seconds_since_change()
            await self._read_attempts()
            if self._all_users and self._clerk is not None:
                await self._compare_with_clerk(self._clerk)
            await self._list_assistants()
            await self._read_rows()
            if self._result.is_listing_cut:
                await self._find_assistants_by_name()
            await self._ask_clerk()
        except Unavailable as error:
            raise UnsafeToProceed(f"not everything could be read ({error.reason})") from error
        except IncompleteListing as error:
            raise UnsafeToProceed(str(error)) from error
        for clerk_id, named in self._named.items():
            self._judge_assistants(clerk_id, named)
        check_candidates(self._result)
        return self._result

    async def _read_attempts(self) -> None:
        async for attempt in self._tables.attempts():
            self._attempts[attempt.clerk_id] = attempt
            self._result.drift(attempt.clerk_id).has_attempt = True
            if not (attempt.is_live or attempt.is_deleted):
                self._undecided[attempt.clerk_id] = attempt.is_old
        self._result.attempts = len(self._attempts)

    async def _compare_with_clerk(self, clerk: ClerkApi) -> None:
        """Find Clerk's users without a row, or with an older one."""
        async for page in clerk.list_all_users(await retry_reads(clerk.count_users)):
            profiles = {profile.clerk_id: profile for profile in page.profiles}
            self._clerk_ids |= set(profiles)
            for clerk_id, state in (await self._tables.find(list(profiles))).items():
                profile, user = profiles[clerk_id], state.user
                if state.is_deleted:
                    continue
                if user is None:
                    self._drift_with(profile).add("missing")
                    continue
                self._clerk_key_fits = True
                version = profile.updated_at or user.clerk_updated_at
                same = version == user.clerk_updated_at
                if version > user.clerk_updated_at or (same and user.differs_from(profile)):
                    self._drift_with(profile).add("stale", user.assistant_id)

    async def _list_assistants(self) -> None:
        listing = await list_assistants(self._backboard)
        self._result.is_listing_cut = listing.is_cut
        self._listed = set(listing.by_id)
        for assistant in listing.by_id.values():
            named = self._names.read(assistant)
            if named is not None:
                self._result.our_assistants += 1
                self._named.setdefault(named.clerk_id, []).append(named)
            elif self._names.has_prefix(assistant):
                self._result.other_assistants += 1

    async def _read_rows(self) -> None:
        """Keep the rows that the scan needs, and check those with an assistant that Backboard does not list."""
        total, unlisted = 0, []
        async for row in self._tables.users():
            total += 1
            self._result.live_users += row.is_live
            if row.assistant_id in self._listed:
                self._owners[row.assistant_id] = row.clerk_id
            elif row.is_live:
                unlisted.append(row)
            matters = row.clerk_id in self._attempts or row.clerk_id in self._named
            if matters or (self._all_users and (self._result.is_listing_cut or row.clerk_id not in self._clerk_ids)):
                self._rows[row.clerk_id] = row
        check_unclaimed(total, self._attempts, self._named)
        for row in await find_lost_assistants(self._backboard, unlisted, self._result):
            drift = self._result.drift(row.clerk_id)
            drift.lost_assistant = row.assistant_id
            drift.add("missing", row.assistant_id)

    async def _find_assistants_by_name(self) -> None:
        """Ask for each known user's assistants: a cut listing says nothing about the users that are not in it."""
        for drift in self._result.drifts.values():
            drift.look_first = True
        known = {row.clerk_id for row in self._rows.values() if row.is_live} if self._all_users else set()
        for clerk_id, assistants in (await find_assistants(self._backboard, known | set(self._attempts))).items():
            named = self._named.setdefault(clerk_id, [])
            named += [NamedAssistant(one, clerk_id) for one in assistants if one.id not in self._listed]

    async def _ask_clerk(self) -> None:
        """Ask Clerk for each user that neither row, tombstone nor Clerk's listing decides about."""
        asked: dict[str, bool] = {}
        if self._all_users:
            absent = [row for row in self._rows.values() if row.is_live and row.clerk_id not in self._clerk_ids]
            check_missing_in_clerk(len(absent), self._result.live_users)
            asked = {row.clerk_id: row.is_old for row in absent}
            unknown = [one for one in self._named if one not in self._rows and one not in self._attempts]
            for clerk_id, state in (await self._tables.find(unknown)).items():
                if state.user is None and not state.is_deleted:
                    self._undecided[clerk_id] = self._grace_periods.are_old(self._named[clerk_id])
        asked |= self._undecided
        asked = {clerk_id: is_old for clerk_id, is_old in asked.items() if clerk_id not in self._clerk_ids}
        if not asked:
            return
        if self._clerk is None:
            raise NoClerkKey(f"{len(asked)} users have neither a row nor a tombstone, and only Clerk can decide")
        for clerk_id, is_old in asked.items():
            self._record_answer(clerk_id, await get_user(self._clerk, clerk_id), is_old=is_old)
        if not self._clerk_key_fits and any(drift.missing_in_clerk for drift in self._result.drifts.values()):
            await check_clerk_key(self._clerk, self._tables)

    def _record_answer(self, clerk_id: str, profile: Profile | None, *, is_old: bool) -> None:
        row = self._rows.get(clerk_id)
        if profile is not None:
            self._clerk_key_fits = True
            if row is None:
                self._drift_with(profile).add("missing")
            return
        drift = self._result.drift(clerk_id)
        drift.missing_in_clerk = is_old
        # A young one waits: Clerk may send the event of a new user before its API answers for that user.
        drift.add("deleted", row.assistant_id if row else None, "found" if is_old else "waiting")

    def _judge_assistants(self, clerk_id: str, named: list[NamedAssistant]) -> None:
        """Find the assistants that are one too many. Those that an earlier run has renamed are part of every run."""
        attempt, row = self._attempts.get(clerk_id), self._rows.get(clerk_id)
        renamed = [one for one in named if one.renamed_on is not None]
        if not (self._all_users or attempt or renamed):
            return
        is_live = row.is_live if row else bool(attempt and attempt.is_live)
        surplus = [one for one in named if not self._is_owned(one, is_live=is_live)]
        if not surplus:
            return
        drift = self._result.drift(clerk_id)
        drift.renamed = renamed
        if drift.profile is not None and not is_live:
            # The repair adopts one of them, and then finds the surplus under the lock.
            drift.look_first = True
            return
        drift.skip_destructive = self._result.is_listing_cut and not (is_live or attempt)
        had_tombstone = not is_live and clerk_id not in self._undecided
        for one in surplus if self._all_users or attempt else renamed:
            is_due = self._grace_periods.is_due(one, had_tombstone=had_tombstone)
            drift.add("duplicate" if is_live else "orphaned", one.assistant.id, "found" if is_due else "waiting")

    def _is_owned(self, named: NamedAssistant, *, is_live: bool) -> bool:
        """Whether a row has this assistant, other than the row of its own user when that is deleted."""
        owner = self._owners.get(named.assistant.id)
        return owner is not None and (is_live or owner != named.clerk_id)

    def _drift_with(self, profile: Profile) -> UserDrift:
        """The drift of a user, with the profile that has to be stored."""
        drift = self._result.drift(profile.clerk_id)
        drift.profile = profile
        return drift
