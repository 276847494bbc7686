// What one would write instead of the service: Fastify, pg with named statements on a pool of 10, svix, one log line a
// request. It works on the same tables and commits what it answers for.
import Fastify, { LogController } from "fastify";
import pg from "pg";
import { Webhook } from "svix";

const CLERK_ID = /^user_[A-Za-z0-9]{1,64}$/;
const named = (name, text) => (values) => pool.query({ name, text, values });
const pool = new pg.Pool({ max: 10 });

const findUser = named(
  "find_user",
  "SELECT id, clerk_id, assistant_id, email, name, created_at, clerk_updated_at FROM users WHERE clerk_id = $1 AND deleted_at IS NULL",
);
const updateUser = named(
  "update_user",
  `UPDATE users SET email = $2, name = $3, clerk_updated_at = to_timestamp($4::float8 / 1000), updated_at = now()
   WHERE clerk_id = $1 AND deleted_at IS NULL AND clerk_updated_at < to_timestamp($4::float8 / 1000) RETURNING id`,
);
const insertUser = named(
  "insert_user",
  "INSERT INTO users (clerk_id, assistant_id, email, name) VALUES ($1, $2, $3, $4) ON CONFLICT (clerk_id) DO NOTHING RETURNING id",
);
// The session's row is locked by its UPDATE, and the position drawn after that, so two writers keep one order.
const insertMessage = named(
  "insert_message",
  `WITH session AS (
     UPDATE sessions SET last_active_at = greatest(last_active_at, clock_timestamp()) WHERE id = $1 RETURNING id, last_active_at
   )
   INSERT INTO messages (session_id, role, content, metadata, created_at)
   SELECT id, $2, $3, $4, last_active_at FROM session RETURNING id, session_id, role, content, metadata, created_at`,
);
const listMessages = named(
  "list_messages",
  `SELECT id, session_id, role, content, metadata, created_at, position FROM messages
   WHERE session_id = $1 AND position < $2 ORDER BY position DESC LIMIT $3`,
);
const listSessions = named(
  "list_sessions",
  `SELECT sessions.id, title, status, thread_id, sessions.created_at, last_active_at, ended_at,
     latest.id AS message_id, latest.role, latest.preview
   FROM sessions JOIN users ON users.id = sessions.user_id
   LEFT JOIN LATERAL (
     SELECT id, role, substr(content, 1, 200) AS preview FROM messages
     WHERE session_id = sessions.id ORDER BY position DESC LIMIT 1
   ) AS latest ON TRUE
   WHERE users.clerk_id = $1 ORDER BY last_active_at DESC, sessions.id DESC LIMIT $2`,
);

const app = Fastify({ logger: true, logController: new LogController({ disableRequestLogging: true }) });
app.addHook("onResponse", async (request, reply) => {
  request.log.info({ status: reply.statusCode, ms: reply.elapsedTime }, "answered");
});
app.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
  if (request.url === "/webhooks/clerk") return done(null, body);
  try {
    done(null, JSON.parse(body));
  } catch (error) {
    error.statusCode = 422;
    done(error);
  }
});

const authorized = async (request, reply) => {
  if (request.headers.authorization !== `Bearer ${process.env.SERVICE_TOKENS}`) return reply.code(401).send();
};
const webhook = new Webhook(process.env.CLERK_WEBHOOK_SIGNING_SECRET);

app.post("/ensure-user", { preHandler: authorized }, async (request, reply) => {
  const clerkId = request.body?.clerk_id;
  if (typeof clerkId !== "string" || !CLERK_ID.test(clerkId)) return reply.code(422).send();
  const { rows } = await findUser([clerkId]);
  return rows.length ? rows[0] : reply.code(404).send();
});

app.post("/webhooks/clerk", async (request, reply) => {
  let event;
  try {
    event = webhook.verify(request.body, request.headers);
  } catch {
    return reply.code(400).send();
  }
  event ??= JSON.parse(request.body);
  const { id, first_name, last_name, email_addresses, primary_email_address_id, updated_at } = event.data;
  const email = email_addresses?.find((one) => one.id === primary_email_address_id)?.email_address ?? null;
  const name = [first_name, last_name].filter(Boolean).join(" ") || null;
  const { rows } = await findUser([id]);
  if (!rows.length) {
    const answer = await fetch(`${process.env.BACKBOARD_API_URL}/assistants`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-api-key": process.env.BACKBOARD_API_KEY },
      body: JSON.stringify({ name: `clerk:${id}` }),
    });
    if (!answer.ok) return reply.code(503).send();
    await insertUser([id, (await answer.json()).assistant_id, email, name]);
    return { outcome: "created" };
  }
  if (rows[0].clerk_updated_at.getTime() >= updated_at) return { outcome: "exists" };
  const { rowCount } = await updateUser([id, email, name, updated_at]);
  return { outcome: rowCount ? "updated" : "stale" };
});

app.post("/sessions/:id/messages", { preHandler: authorized }, async (request, reply) => {
  const { role, content, metadata = null } = request.body ?? {};
  if (!["user", "assistant"].includes(role) || typeof content !== "string" || !content) return reply.code(422).send();
  const { rows } = await insertMessage([request.params.id, role, content, metadata]);
  return rows.length ? reply.code(201).send(rows[0]) : reply.code(404).send();
});

app.get("/sessions/:id/messages", { preHandler: authorized }, async (request) => {
  const limit = Number(request.query.limit ?? 50);
  const { rows } = await listMessages([request.params.id, request.query.before ?? "9223372036854775807", limit + 1]);
  const page = rows.slice(0, limit);
  const before = rows.length > limit ? page.at(-1).position : null;
  return { messages: page.reverse().map(({ position, ...message }) => message), before };
});

app.get("/users/:clerkId/sessions", { preHandler: authorized }, async (request) => {
  const { rows } = await listSessions([request.params.clerkId, Number(request.query.limit ?? 20) + 1]);
  return { sessions: rows, next: null };
});

app.get("/readyz", async () => ({ ready: (await pool.query("SELECT 1")).rowCount === 1 }));

await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
