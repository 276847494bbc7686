// Every route of the service, called with the types that openapi-typescript makes of its document; only compiled.
import createClient from "openapi-fetch";
import type { components, paths, webhooks } from "./schema";

const client = createClient<paths>({ baseUrl: "http://127.0.0.1:8000", headers: { Authorization: "Bearer token" } });

type Problem = components["schemas"]["Problem"];

function explain(problem: Problem): string {
  const places = (problem.errors ?? []).map((place) => `${place.pointer ?? place.parameter}: ${place.detail}`);
  return [problem.code ?? problem.title, problem.request_id, ...places].join("\n");
}

function fail(problem: Problem | undefined): never {
  throw new Error(problem === undefined ? "no answer" : explain(problem));
}

async function users(clerk_id: string): Promise<string | null> {
  const own = await client.POST("/ensure-user", { body: {} });
  const { data, error } = await client.POST("/ensure-user", { body: { clerk_id, name: "Ada" } });
  if (data === undefined) fail(error);
  const params = { path: { clerk_id } };
  await client.GET("/users/{clerk_id}", { params });
  const stats = await client.GET("/users/{clerk_id}/stats", { params });
  const preferences = await client.GET("/users/{clerk_id}/preferences", { params });
  await client.PUT("/users/{clerk_id}/preferences", { params, body: { ...preferences.data, language: "pt" } });
  await client.PATCH("/users/{clerk_id}/preferences", { params, body: { language: null } });
  const said: number = stats.data?.messages.user ?? 0;
  return said > 0 ? data.email : (own.data?.name ?? null);
}

async function sessions(clerk_id: string): Promise<string | null> {
  const opened = await client.POST("/users/{clerk_id}/sessions", {
    params: { path: { clerk_id }, header: { "Idempotency-Key": "trip-1" } },
    body: { title: "Lisbon", scenario: "city-trip" },
  });
  if (opened.data === undefined) fail(opened.error);
  await client.POST("/users/{clerk_id}/sessions", { params: { path: { clerk_id } }, body: {} });
  const params = { path: { session_id: opened.data.id } };
  const found = await client.GET("/sessions/{session_id}", { params });
  const ended = await client.PATCH("/sessions/{session_id}", { params, body: { status: "completed" } });
  const page = await client.GET("/users/{clerk_id}/sessions", {
    params: { path: { clerk_id }, query: { limit: 20, q: "Lisbon" } },
  });
  await client.POST("/users/{clerk_id}/sessions/search", {
    params: { path: { clerk_id } },
    body: { q: "Lisbon", status: ["active", "archived"] },
  });
  const next: string | null | undefined = page.data?.next;
  if (next) {
    await client.GET("/users/{clerk_id}/sessions", { params: { path: { clerk_id }, query: { cursor: next } } });
  }
  await client.DELETE("/sessions/{session_id}", { params });
  return ended.data?.ended_at ?? found.data?.thread_id ?? null;
}

async function messages(session_id: string): Promise<string[]> {
  const params = { path: { session_id } };
  const question = { id: crypto.randomUUID(), role: "user", content: "Where should I eat?" } as const;
  const added = await client.POST("/sessions/{session_id}/messages", { params, body: question });
  if (added.data === undefined) fail(added.error);
  const reply = { role: "assistant", content: "Start in Alfama.", metadata: { tokens: 812 } } as const;
  await client.POST("/sessions/{session_id}/messages/batch", { params, body: { messages: [question, reply] } });
  const page = await client.GET("/sessions/{session_id}/messages", { params: { ...params, query: { limit: 50 } } });
  const message = { path: { session_id, message_id: added.data.id } };
  await client.PATCH("/sessions/{session_id}/messages/{message_id}", {
    params: message,
    body: { metadata: { liked: true } },
  });
  await client.DELETE("/sessions/{session_id}/messages/{message_id}", { params: message });
  return page.data?.messages.map((message) => message.content) ?? [];
}

async function scenarios(): Promise<string[]> {
  const params = { path: { slug: "city-trip" } };
  await client.PUT("/scenarios/{slug}", { params, body: { name: "A few days in a city" } });
  const found = await client.GET("/scenarios/{slug}", { params });
  const all = await client.GET("/scenarios");
  await client.DELETE("/scenarios/{slug}", { params });
  return [found.data?.name ?? "", ...(all.data?.scenarios.map((one) => one.slug) ?? [])];
}

async function operations(): Promise<string> {
  const headers = { "svix-id": "msg_1", "svix-timestamp": "1790000000", "svix-signature": "v1,..." };
  const event: webhooks["user.deleted"]["post"]["requestBody"]["content"]["application/json"] = {
    type: "user.deleted",
    data: { id: "user_2g7np7Hrk0SN6kj5EDMLDaKNL0S" },
  };
  const delivered = await client.POST("/webhooks/clerk", { params: { header: headers }, body: event });
  const alive = await client.GET("/healthz");
  const ready = await client.GET("/readyz");
  const figures = await client.GET("/metrics", { parseAs: "text" });
  return [delivered.data?.outcome, alive.data?.status, ready.data?.schema, figures.data].join(" ");
}

export { messages, operations, scenarios, sessions, users };
