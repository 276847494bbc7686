// GET: the user's last conversation, its messages, and the scenarios for a new one. POST: a new one.
import { failed, service } from "@/lib/service";
import { signedInUser } from "@/lib/user";

export async function GET(): Promise<Response> {
  const clerkId = await signedInUser();
  if (clerkId === null) return Response.json({ detail: "Sign in first." }, { status: 401 });
  try {
    await service().ensureUser({ clerk_id: clerkId });
    const [{ sessions }, { scenarios }] = await Promise.all([
      service().listSessions(clerkId, { limit: 1, status: ["active"] }),
      service().listScenarios(),
    ]);
    const session = sessions[0] ?? null;
    const messages = session ? (await service().listMessages(session.id, { limit: 50 })).messages : [];
    return Response.json({ session, messages, scenarios });
  } catch (error) {
    return failed(error);
  }
}

export async function POST(request: Request): Promise<Response> {
  const clerkId = await signedInUser();
  if (clerkId === null) return Response.json({ detail: "Sign in first." }, { status: 401 });
  const { key, scenario } = (await request.json()) as { key: string; scenario: string | null };
  try {
    // The browser's key: a second click, or a repeated request, is the same conversation.
    const session = await service().openSession(clerkId, { scenario }, { idempotencyKey: key });
    return Response.json({ session, messages: [] }, { status: 201 });
  } catch (error) {
    return failed(error);
  }
}
