// The service, with a token of the chat backend: it may ask for every user, so each route checks that it asks for its own.
import { Client, Failure, Problem, type SessionAnswer } from "clerk-backboard-sync-client";
import { variable } from "./variables";

let client: Client | undefined;

export function service(): Client {
  client ??= new Client({
    url: variable("SERVICE_URL"),
    token: variable("SERVICE_TOKEN"),
    // A person waits: rather an error that they can see than a minute of silence.
    retries: { tries: 4, seconds: 20 },
  });
  return client;
}

/** The session of this user; undefined where it is another user's, or was deleted. */
export async function ownSession(clerkId: string, sessionId: string): Promise<SessionAnswer | undefined> {
  try {
    const session = await service().getSession(sessionId);
    return session.clerk_id === clerkId ? session : undefined;
  } catch (error) {
    if (error instanceof Problem && [404, 410].includes(error.status)) return undefined;
    throw error;
  }
}

/** What the browser is told of a failure; the log has the rest. */
export function failed(error: unknown): Response {
  console.error(error);
  if (error instanceof Problem && [410, 422, 429].includes(error.status)) {
    return Response.json({ detail: error.detail, code: error.code }, { status: error.status });
  }
  const detail = error instanceof Failure ? "The chat is not available for now." : "The chat has failed.";
  return Response.json({ detail }, { status: error instanceof Failure ? 503 : 500 });
}
