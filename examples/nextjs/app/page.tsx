"use client";
// The chat: the last conversation is shown, and a question's answer appears as it comes.
import type { MessageAnswer, ScenarioAnswer, SessionAnswer } from "clerk-backboard-sync-client";
import { type FormEvent, useEffect, useState } from "react";

type Shown = Pick<MessageAnswer, "id" | "role" | "content">;

interface Conversation {
  session: SessionAnswer | null;
  messages: Shown[];
  scenarios?: ScenarioAnswer[];
}

async function json<T>(response: Response): Promise<T> {
  const body = await response.json();
  if (!response.ok) throw new Error(body.detail);
  return body as T;
}

export default function Page() {
  const [session, setSession] = useState<SessionAnswer | null>(null);
  const [messages, setMessages] = useState<Shown[]>([]);
  const [scenarios, setScenarios] = useState<ScenarioAnswer[]>([]);
  const [scenario, setScenario] = useState("");
  const [trouble, setTrouble] = useState("");
  const [isBusy, setBusy] = useState(true);

  async function tried(work: () => Promise<void>) {
    setBusy(true);
    setTrouble("");
    try {
      await work();
    } catch (error) {
      setTrouble(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  }

  function show(found: Conversation) {
    setSession(found.session);
    setMessages(found.messages);
    if (found.scenarios) setScenarios(found.scenarios);
  }

  useEffect(() => {
    void tried(async () => show(await json(await fetch("/api/conversation"))));
  }, []);

  async function open(): Promise<SessionAnswer> {
    const body = JSON.stringify({ key: crypto.randomUUID(), scenario: scenario || null });
    const opened = await json<Conversation & { session: SessionAnswer }>(
      await fetch("/api/conversation", { method: "POST", body }),
    );
    show(opened);
    return opened.session;
  }

  async function ask(content: string) {
    const { id: session_id } = session ?? (await open());
    const question: Shown = { id: crypto.randomUUID(), role: "user", content };
    const answer: Shown = { id: crypto.randomUUID(), role: "assistant", content: "" };
    setMessages((shown) => [...shown, question, answer]);
    const response = await fetch("/api/chat", {
      method: "POST",
      body: JSON.stringify({ session_id, id: question.id, content }),
    });
    if (!response.ok || !response.body) await json(response);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      answer.content += part.value;
      setMessages((shown) => [...shown.slice(0, -1), { ...answer }]);
    }
  }

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = event.currentTarget;
    const content = String(new FormData(form).get("content")).trim();
    if (!content) return;
    form.reset();
    void tried(() => ask(content));
  }

  return (
    <main>
      <p>
        <select value={scenario} onChange={(event) => setScenario(event.target.value)} aria-label="Scenario">
          <option value="">no scenario</option>
          {scenarios.map(({ slug, name }) => (
            <option key={slug} value={slug}>
              {name}
            </option>
          ))}
        </select>{" "}
        <button type="button" disabled={isBusy} onClick={() => void tried(async () => void (await open()))}>
          New conversation
        </button>{" "}
        {session?.scenario?.name}
      </p>
      {messages.map(({ id, role, content }) => (
        <p key={id}>
          <b>{role}</b> {content}
        </p>
      ))}
      {trouble && <p role="alert">{trouble}</p>}
      <form onSubmit={submit}>
        <input name="content" aria-label="Message" autoComplete="off" style={{ width: "80%" }} />{" "}
        <button disabled={isBusy}>Send</button>
      </form>
    </main>
  );
}
