// Who is signed in. Without Clerk's secret key it is always the same user, so that the example runs offline; what is built
// for production takes that user from a variable only, so that a key that is missing lets no visitor in.
import { auth } from "@clerk/nextjs/server";

const STAND_IN = process.env.STAND_IN_USER ?? (process.env.NODE_ENV === "production" ? null : "user_local");

export const hasClerk = Boolean(process.env.CLERK_SECRET_KEY);

/** The Clerk id of the request's user, null for a visitor. */
export async function signedInUser(): Promise<string | null> {
  return hasClerk ? (await auth()).userId : STAND_IN;
}
