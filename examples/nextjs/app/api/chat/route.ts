// POST: one turn. The question is stored, Backboard's answer streamed to the browser, and stored with its model and tokens.
import type { SessionAnswer } from "clerk-backboard-sync-client";
import { reply } from "@/lib/backboard";
import { failed, ownSession, service } from "@/lib/service";
import { signedInUser } from "@/lib/user";

interface Turn {
  session_id: string;
  /** Made by the browser for each question, so that one that is sent twice is stored once. */
  id: string;
  content: string;
}

export async function POST(request: Request): Promise<Response> {
  const clerkId = await signedInUser();
  if (clerkId === null) return Response.json({ detail: "Sign in first." }, { status: 401 });
  const { session_id, id, content } = (await request.json()) as Turn;
  try {
    const session = await ownSession(clerkId, session_id);
    if (!session?.thread_id) return Response.json({ detail: "Begin a new conversation." }, { status: 404 });
    await service().addMessage(session.id, { id, role: "user", content });
    return new Response(answer(session, content), {
      headers: { "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store", "X-Accel-Buffering": "no" },
    });
  } catch (error) {
    return failed(error);
  }
}

/** The reply as it comes. It is read and stored to its end although the browser leaves; it breaks off where it fails. */
function answer(session: SessionAnswer, content: string): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let isRead = true;
  return new ReadableStream({
    async start(controller) {
      try {
        const words = reply(session, content);
        let next = await words.next();
        for (; !next.done; next = await words.next()) {
          if (isRead) controller.enqueue(encoder.encode(next.value));
        }
        const { text, model, tokens } = next.value;
        await service().addMessage(session.id, { role: "assistant", content: text, metadata: { model, tokens } });
        if (isRead) controller.close();
      } catch (error) {
        console.error(error);
        if (isRead) controller.error(error);
      }
    },
    cancel() {
      isRead = false;
    },
  });
}
