import Fastify, { LogController } from "fastify";
import pg from "pg";

const CLERK_ID = /^user_[A-Za-z0-9]{1,64}$/;
// Named, so that pg prepares it once for each connection.
const FIND_USER = {
  name: "find_user",
  text: "SELECT id, clerk_id, assistant_id, email, name, created_at FROM users WHERE clerk_id = $1 AND deleted_at IS NULL",
};

const pool = new pg.Pool({ max: 10 });
const writesLines = process.env.LOG === "1";
const app = Fastify({ logger: writesLines, logController: new LogController({ disableRequestLogging: true }) });
if (writesLines) {
  // One for each answer, as ours; its own two say less.
  app.addHook("onResponse", async (request, reply) => {
    request.log.info({ clerk_id: request.body.clerk_id, status: reply.statusCode, ms: reply.elapsedTime }, "answered");
  });
}

app.post("/ensure-user", async (request, reply) => {
  if (request.headers.authorization !== `Bearer ${process.env.SERVICE_TOKENS}`) return reply.code(401).send();
  const clerkId = request.body?.clerk_id;
  if (typeof clerkId !== "string" || !CLERK_ID.test(clerkId)) return reply.code(422).send();
  const { rows } = await pool.query({ ...FIND_USER, values: [clerkId] });
  return rows.length ? rows[0] : reply.code(404).send();
});
app.get("/readyz", async () => ({ ready: (await pool.query("SELECT 1")).rowCount === 1 }));

await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
