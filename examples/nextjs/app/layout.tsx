import { ClerkProvider, Show, SignInButton, UserButton } from "@clerk/nextjs";
import type { ReactNode } from "react";
import { hasClerk } from "@/lib/user";

export const metadata = { title: "Chat" };
// Whether there is a Clerk is known when it runs, not when it is built.
export const dynamic = "force-dynamic";

function SignedIn({ children }: { children: ReactNode }) {
  if (!hasClerk) return children;
  return (
    <ClerkProvider>
      <Show when="signed-out">
        <SignInButton />
      </Show>
      <Show when="signed-in">
        <UserButton />
        {children}
      </Show>
    </ClerkProvider>
  );
}

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body style={{ font: "16px/1.5 system-ui", maxWidth: "40rem", margin: "2rem auto", padding: "0 1rem" }}>
        <SignedIn>{children}</SignedIn>
      </body>
    </html>
  );
}
