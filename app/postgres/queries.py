"""The SQL statements, read from sql/queries once at start, so that a missing file stops the process."""

from dataclasses import dataclass, fields
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "sql" / "queries"


@dataclass(frozen=True, slots=True)
class Queries:
    """One attribute for each file in sql/queries, named like the file.

    They are bytes because psycopg takes bytes as trusted SQL, where it refuses a str it cannot know.
    """

    delete_deleted_thread: bytes
    delete_old_actions: bytes
    delete_old_deliveries: bytes
    delete_old_outcomes: bytes
    delete_old_processes: bytes
    delete_user_deliveries: bytes
    delete_first_attempt: bytes
    delete_message: bytes
    delete_messages: bytes
    delete_migration: bytes
    delete_old_session_attempts: bytes
    delete_preferences: bytes
    delete_scenario: bytes
    delete_session: bytes
    delete_session_attempt: bytes
    delete_settled_attempt: bytes
    delete_user: bytes
    delete_user_attempts: bytes
    delete_user_messages: bytes
    delete_user_sessions: bytes
    delete_user_threads: bytes
    clear_threads: bytes
    clear_user_actions: bytes
    clear_user_profile: bytes
    find_deleted_thread: bytes
    find_delivery: bytes
    find_subjects: bytes
    find_assistant_owners: bytes
    find_preferences: bytes
    find_scenarios: bytes
    find_schemas: bytes
    find_session: bytes
    find_session_by_key: bytes
    find_tables: bytes
    find_taken_threads: bytes
    find_users: bytes
    find_users_by_email: bytes
    get_attempt: bytes
    count_doubts: bytes
    count_failing: bytes
    count_user_data: bytes
    get_database_facts: bytes
    get_user_counts: bytes
    get_user_facts: bytes
    get_user_state: bytes
    get_index_state: bytes
    get_oldest_session_attempt: bytes
    get_schema_version: bytes
    get_positions: bytes
    get_server_facts: bytes
    get_stats: bytes
    get_time: bytes
    insert_action: bytes
    insert_imported_messages: bytes
    insert_imported_preferences: bytes
    insert_imported_sessions: bytes
    insert_imported_user: bytes
    insert_messages: bytes
    insert_migration: bytes
    insert_sample_messages: bytes
    insert_sample_scenarios: bytes
    insert_sample_sessions: bytes
    insert_sample_users: bytes
    insert_session: bytes
    insert_session_attempt: bytes
    insert_tombstone: bytes
    insert_user: bytes
    list_actions: bytes
    list_attempts: bytes
    list_columns: bytes
    list_defaults: bytes
    list_blockers: bytes
    list_deleted_threads: bytes
    list_deliveries: bytes
    list_doubt_ages: bytes
    list_doubts: bytes
    list_failures: bytes
    list_last_events: bytes
    list_messages: bytes
    list_migration_times: bytes
    list_migrations: bytes
    list_neighbours: bytes
    list_outcome_totals: bytes
    list_outcomes: bytes
    list_processes: bytes
    list_refusals: bytes
    list_refused_functions: bytes
    list_scenarios: bytes
    list_rows_of_actions: bytes
    list_rows_of_deleted_threads: bytes
    list_rows_of_deleted_users: bytes
    list_rows_of_deliveries: bytes
    list_rows_of_messages: bytes
    list_rows_of_migrations: bytes
    list_rows_of_outcome_counts: bytes
    list_rows_of_preferences: bytes
    list_rows_of_processes: bytes
    list_rows_of_provisioning_attempts: bytes
    list_rows_of_session_attempts: bytes
    list_rows_of_scenarios: bytes
    list_rows_of_sessions: bytes
    list_rows_of_users: bytes
    list_session_times: bytes
    list_sessions: bytes
    list_sessions_matching: bytes
    list_user_documents: bytes
    list_user_messages: bytes
    list_users: bytes
    list_wrong_functions: bytes
    list_wrong_triggers: bytes
    lock_process: bytes
    lock_imported_sessions: bytes
    lock_session: bytes
    lock_sessions: bytes
    lock_user: bytes
    lock_user_row: bytes
    record_attempt: bytes
    record_deletion: bytes
    record_deliveries: bytes
    record_outcomes: bytes
    record_process: bytes
    resolve_attempt: bytes
    resolve_deliveries: bytes
    set_local_plans: bytes
    set_local_timeouts: bytes
    set_preferences: bytes
    set_scenario: bytes
    update_action: bytes
    update_assistant: bytes
    update_message: bytes
    update_imported_user: bytes
    update_session: bytes
    update_users: bytes

    @classmethod
    def load(cls) -> "Queries":
        return cls(**{field.name: (FOLDER / f"{field.name}.sql").read_bytes() for field in fields(cls)})
