// Clerk reads the session of each request here, which auth() in a route then has.
import { clerkMiddleware } from "@clerk/nextjs/server";
import { NextResponse } from "next/server";

export default process.env.CLERK_SECRET_KEY ? clerkMiddleware() : () => NextResponse.next();

export const config = { matcher: ["/((?!_next|.*\\..*).*)", "/api/(.*)"] };
