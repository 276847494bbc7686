-- insert_imported_user: the row of a user of another program whose assistant exists, under lock_user. Always one row, or a
-- unique violation. Any event of Clerk's is newer than what it holds.
-- user_id: the row's id.
-- clerk_id, assistant_id, email, name, image_url, created_at, last_sign_in_at: as in the table.
INSERT INTO users (id, clerk_id, assistant_id, email, name, image_url, created_at, last_sign_in_at)
VALUES (
    %(user_id)s, %(clerk_id)s, %(assistant_id)s, %(email)s, %(name)s, %(image_url)s,
    coalesce(%(created_at)s::TIMESTAMPTZ, now()), %(last_sign_in_at)s
)
RETURNING id;
