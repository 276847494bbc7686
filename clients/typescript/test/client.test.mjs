// Against a running service: SERVICE_URL=... SERVICE_TOKEN=... npm test
import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, Problem } from "../dist/index.js";

const { SERVICE_URL: url, SERVICE_TOKEN: token } = process.env;
const service = new Client({ url, token });
const newUser = () => `user_${crypto.randomUUID().replaceAll("-", "")}`;

/** A client; `answers` are functions of the real fetch that take the first calls one by one. */
function faulty(answers, { retries, ...options } = {}) {
  const sent = [];
  const through = (...call) => {
    sent.push(call);
    const answer = answers[sent.length - 1];
    return answer ? answer(...call) : fetch(...call);
  };
  return { sent, client: new Client({ url, token, fetch: through, retries: { firstWait: 0, ...retries }, ...options }) };
}

const busy = (headers = { "Retry-After": "0" }) => () => new Response("{}", { status: 503, headers });
const refused = () => Promise.reject(new TypeError("fetch failed"));
const never = (_, { signal }) =>
  new Promise((_, reject) => {
    const socket = setTimeout(() => {}, 1e6); // As a socket would, it keeps the process waiting.
    signal.addEventListener("abort", () => (clearTimeout(socket), reject(signal.reason)));
  });
const lost = async (...call) => {
  await (await fetch(...call)).text();
  throw new TypeError("fetch failed");
};

test("a conversation, by every method", async () => {
  const clerk_id = newUser();
  const user = await service.ensureUser({ clerk_id, name: "Canary" });
  assert.deepEqual(await service.getUser(clerk_id), user);
  const slug = `slug-${clerk_id.slice(5)}`;
  const scenario = await service.putScenario(slug, { name: "City trip", system_prompt: "Be brief.", model: "m-1" });
  assert.deepEqual(await service.getScenario(slug), scenario);
  assert.ok((await service.listScenarios({ include_inactive: true, limit: 100 })).scenarios.length > 0);
  const session = await service.openSession(clerk_id, { title: "Lisbon", scenario: slug });
  assert.equal(session.scenario.model, "m-1");
  const question = await service.addMessage(session.id, { role: "user", content: "Where?" });
  const { messages } = await service.addMessages(session.id, {
    messages: [{ role: "assistant", content: "Alfama.", metadata: { tokens: 7 } }],
  });
  const changed = await service.changeMessage(session.id, messages[0].id, { metadata: { liked: true } });
  assert.deepEqual(changed.metadata, { tokens: 7, liked: true });
  const page = await service.listMessages(session.id, { limit: 1 });
  assert.equal(page.messages[0].content, "Alfama.");
  assert.equal((await service.listMessages(session.id, { before: page.before })).messages[0].id, question.id);
  assert.equal((await service.getStats(clerk_id)).total_tokens, 7);
  await service.replacePreferences(clerk_id, { language: "pt", seat: "aisle" });
  assert.deepEqual(await service.mergePreferences(clerk_id, { seat: null }), await service.getPreferences(clerk_id));
  await service.changeSession(session.id, { status: "completed" });
  assert.equal((await service.getSession(session.id)).status, "completed");
  const found = await service.searchSessions(clerk_id, { q: "Alfama" });
  const listed = await service.listSessions(clerk_id, { status: ["completed", "archived"], q: "Lisbon" });
  assert.deepEqual([found.sessions[0].id, listed.sessions[0].id], [session.id, session.id]);
  await service.deleteMessage(session.id, question.id);
  await service.deleteSession(session.id);
  await service.deleteScenario(slug);
  await assert.rejects(service.getSession(session.id), { name: "Problem", status: 404, code: "missing" });
});

test("whatever is lost or refused for now, each thing is made and deleted once", async () => {
  const clerk_id = newUser();
  const { client, sent } = faulty([lost, busy(), refused], { retries: { tries: 9 } });
  const session = await client.openSession(clerk_id, { title: "Once" });
  assert.equal(sent.length, 4);
  assert.equal((await service.listSessions(clerk_id)).sessions.length, 1);

  for (const add of [
    (faulted, message) => faulted.addMessage(session.id, message),
    (faulted, message) => faulted.addMessages(session.id, { messages: [message] }),
  ]) {
    await add(faulty([lost]).client, { role: "user", content: "Once" });
  }
  assert.equal((await service.getSession(session.id)).message_count, 2);

  const [first] = (await service.listMessages(session.id)).messages;
  await faulty([lost]).client.deleteMessage(session.id, first.id);
  await faulty([lost]).client.deleteSession(session.id);
  await assert.rejects(service.deleteSession(session.id), { status: 404, tries: 1 });
});

test("a key opens its session again", async () => {
  const clerk_id = newUser();
  const [first, second] = await Promise.all(
    [1, 2].map(() => service.openSession(clerk_id, {}, { idempotencyKey: "trip-1" })),
  );
  assert.equal(first.id, second.id);
});

test("a refusal is a problem with its places, and is not repeated", async () => {
  const { client, sent } = faulty([]);
  await assert.rejects(client.ensureUser({ clerk_id: "no id" }), (problem) => {
    assert.ok(problem instanceof Problem && problem instanceof Error);
    assert.deepEqual([problem.status, problem.code, problem.errors[0].pointer], [422, "clerk_id", "#/clerk_id"]);
    assert.match(problem.message, new RegExp(problem.requestId));
    return true;
  });
  await assert.rejects(new Client({ url, token: "canary-of-no-service" }).getUser(newUser()), { status: 401 });
  assert.equal(sent.length, 1);
});

const page = (status) => () => new Response("<html>", { status, headers: { "Retry-After": "0" } });
const FAILURES = {
  "tries run out": [[busy(), busy()], { retries: { tries: 2 } }, { status: 503, tries: 2 }, 2],
  "a wait that is too long": [[busy({ "Retry-After": "3600" })], {}, { status: 503, retryAfter: 3600, tries: 1 }, 1],
  "a date as Retry-After": [[busy({ "Retry-After": "Fri, 27 Nov 2026 21:00:00 GMT" })], { retries: { firstWait: 9, seconds: 8 } }, { status: 503, retryAfter: undefined }, 1],
  "408 and 429": [[page(408), page(429), page(503)], { retries: { tries: 3 } }, { status: 503 }, 3],
  "no address": [[refused], { retries: { tries: 1 } }, { name: "NoAnswer", tries: 1 }, 1],
  "a page of a proxy": [[page(502), page(504), page(503)], { retries: { tries: 3 } }, { status: 503, code: undefined }, 3],
  "a page of another program": [[page(200)], {}, { name: "Problem", status: 200, tries: 1 }, 1],
  "a redirect": [[page(302)], {}, { name: "Problem", status: 302 }, 1],
  "a bug": [[page(500)], {}, { name: "Problem", status: 500 }, 1],
  "no answer in time": [[never], { timeout: 5, retries: { tries: 1 } }, { name: "NoAnswer" }, 1],
};

for (const [name, [answers, options, expected, calls]] of Object.entries(FAILURES)) {
  test(`${name}: an error of its kind`, async () => {
    const { client, sent } = faulty(answers, options);
    await assert.rejects(client.getUser(newUser()), expected);
    assert.equal(sent.length, calls);
  });
}

test("a signal ends a call, its wait and its repetitions", async () => {
  for (const answer of [never, busy({ "Retry-After": "30" })]) {
    const { client, sent } = faulty([answer]);
    const leaving = new AbortController();
    const call = client.getUser(newUser(), { signal: leaving.signal });
    setImmediate(() => leaving.abort(new Error("left")));
    await assert.rejects(call, { message: "left" });
    assert.equal(sent[0][1].signal.reason.message, "left");
    assert.equal(sent.length, 1);
  }
});

test("a function's token is asked for before each try", async () => {
  let asked = 0;
  const { client } = faulty([busy()], { token: async () => (asked++, token) });
  await assert.rejects(client.getUser(newUser()), { status: 404 });
  assert.equal(asked, 2);
});

test("mistakes are named before anything is sent, and show no token", async () => {
  for (const wrong of ["", "canary\n", "a b", "ä"]) {
    const { client, sent } = faulty([], { token: wrong });
    await assert.rejects(client.getUser(newUser()), (error) => error instanceof TypeError && !/canary/.test(error));
    assert.equal(sent.length, 0);
  }
  for (const id of ["", ".", ".."]) assert.throws(() => service.getSession(id), TypeError);
  for (const address of ["nowhere", "ftp://host", "http://a:b"]) {
    assert.throws(() => new Client({ url: address, token }), TypeError);
  }
  await assert.rejects(service.openSession(newUser(), {}, { idempotencyKey: "\n" }), { status: 422 });
});
