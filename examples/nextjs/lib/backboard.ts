// One turn at Backboard: a message to the session's thread, and the reply as it comes.
import type { SessionAnswer } from "clerk-backboard-sync-client";
import { variable } from "./variables";

/** The end of a reply: the whole of it, the model, and the tokens of question and reply. */
export interface Reply {
  text: string;
  model: string | null;
  tokens: number | null;
}

interface Event {
  type: string;
  content?: string;
  status?: string;
  error?: string;
  message?: string;
  model_name?: string;
  total_tokens?: number;
}

/** Yields the reply's words, and returns its end. Throws if it does not come to one. */
export async function* reply(session: SessionAnswer, content: string): AsyncGenerator<string, Reply> {
  const { system_prompt, model } = session.scenario ?? { system_prompt: null, model: null };
  const turn = {
    assistant_id: session.assistant_id,
    thread_id: session.thread_id,
    content,
    stream: true,
    memory: "Auto",
    ...(system_prompt !== null && { system_prompt }),
    ...(model !== null && { model_name: model }),
  };
  const response = await fetch(`${variable("BACKBOARD_API_URL")}/threads/messages`, {
    method: "POST",
    headers: { "X-API-Key": variable("BACKBOARD_API_KEY"), "Content-Type": "application/json" },
    body: JSON.stringify(turn),
    signal: AbortSignal.timeout(120_000),
    cache: "no-store",
  });
  if (!response.ok || !response.body) throw new Error(`Backboard answered ${response.status}`);
  let text = "";
  for await (const event of events(response.body)) {
    if (event.type === "content_streaming") {
      text += event.content ?? "";
      yield event.content ?? "";
    } else if (event.type === "run_ended" && (event.status ?? "completed") === "completed") {
      return { text, model: event.model_name ?? null, tokens: event.total_tokens ?? null };
    } else if (["error", "run_failed", "run_ended"].includes(event.type)) {
      throw new Error(`Backboard: ${event.error ?? event.message ?? event.status}`);
    }
  }
  throw new Error("Backboard's reply ended early");
}

/** Server-sent events, one line of JSON each. */
async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<Event> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (rest + decoder.decode(part.value, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.startsWith("data: ")) yield JSON.parse(line.slice("data: ".length));
    }
  } finally {
    await reader.cancel();
  }
}
