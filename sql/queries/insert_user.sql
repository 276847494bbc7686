-- insert_user: the row of a user whose assistant exists. Always one row, or a unique violation.
-- clerk_id, assistant_id, email, name, image_url, clerk_updated_at, last_sign_in_at, clerk_event_at: as in the table.
INSERT INTO users (
    clerk_id, assistant_id, email, name, image_url, clerk_updated_at, last_sign_in_at, clerk_event_at
)
VALUES (
    %(clerk_id)s, %(assistant_id)s, %(email)s, %(name)s, %(image_url)s, %(clerk_updated_at)s,
    %(last_sign_in_at)s, %(clerk_event_at)s
)
RETURNING
    id, clerk_id, assistant_id, email, name, image_url, created_at, clerk_updated_at, last_sign_in_at, deleted_at;
