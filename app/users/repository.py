"""The statements about users."""

from collections.abc import Sequence
from typing import Any

from app.clerk.users import EPOCH, Profile
from app.postgres.pipeline import Statement
from app.postgres.queries import Queries


class UserRepository:
    """Each method makes one statement, or several that belong together; it sends nothing."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    def find(self, clerk_ids: Sequence[str]) -> Statement:
        return self._queries.find_users, {"clerk_ids": clerk_ids}

    def lock(self, clerk_id: str) -> Statement:
        return self._queries.lock_user, {"clerk_id": clerk_id}

    def get_state(self, clerk_id: str) -> Statement:
        return self._queries.get_user_state, {"clerk_id": clerk_id}

    def insert(self, profile: Profile, assistant_id: str) -> Statement:
        return self._queries.insert_user, _values(profile) | {"assistant_id": assistant_id}

    def lock_row(self, clerk_id: str) -> Statement:
        return self._queries.lock_user_row, {"clerk_id": clerk_id}

    def update(self, profiles: Sequence[Profile]) -> Statement:
        return self._queries.update_users, {
            "clerk_ids": [profile.clerk_id for profile in profiles],
            "emails": [profile.email for profile in profiles],
            "names": [profile.name for profile in profiles],
            "image_urls": [profile.image_url for profile in profiles],
            "versions": [profile.updated_at or EPOCH for profile in profiles],
            "last_sign_ins": [profile.last_sign_in_at for profile in profiles],
            "event_times": [profile.event_at for profile in profiles],
        }

    def record_attempt(self, clerk_id: str) -> Statement:
        return self._queries.record_attempt, {"clerk_id": clerk_id}

    def delete_first_attempt(self, clerk_id: str) -> Statement:
        """Delete the attempt row if one try alone is recorded in it: then none has left anything behind."""
        return self._queries.delete_first_attempt, {"clerk_id": clerk_id}

    def resolve_attempt(self, clerk_id: str) -> Statement:
        """Mark that an earlier try may have left a second assistant, for reconcile to look at."""
        return self._queries.resolve_attempt, {"clerk_id": clerk_id}

    def clear_attempt(self, clerk_id: str) -> tuple[Statement, Statement]:
        return self.delete_first_attempt(clerk_id), self.resolve_attempt(clerk_id)

    def mark_deleted(self, clerk_id: str) -> tuple[Statement, Statement, Statement]:
        """The tombstone, the row without its profile, and an attempt row where there was a row to delete."""
        values = {"clerk_id": clerk_id}
        queries = self._queries
        return (
            (queries.insert_tombstone, values),
            (queries.clear_user_profile, values),
            (queries.record_deletion, values),
        )


def _values(profile: Profile) -> dict[str, Any]:
    return {
        "clerk_id": profile.clerk_id,
        "email": profile.email,
        "name": profile.name,
        "image_url": profile.image_url,
        "clerk_updated_at": profile.updated_at or EPOCH,
        "last_sign_in_at": profile.last_sign_in_at,
        "clerk_event_at": profile.event_at,
    }
