import { PrismaPg } from "@prisma/adapter-pg";
import prismaClient from "@prisma/client";
import express from "express";

const CLERK_ID = /^user_[A-Za-z0-9]{1,64}$/;
const WANTED = { id: true, clerk_id: true, assistant_id: true, email: true, name: true, created_at: true };

const prisma = new prismaClient.PrismaClient({ adapter: new PrismaPg({ max: 10 }) });
const app = express();
app.use(express.json());

app.post("/ensure-user", async (request, response) => {
  if (request.headers.authorization !== `Bearer ${process.env.SERVICE_TOKENS}`) return response.sendStatus(401);
  const clerkId = request.body?.clerk_id;
  if (typeof clerkId !== "string" || !CLERK_ID.test(clerkId)) return response.sendStatus(422);
  const user = await prisma.users.findUnique({ where: { clerk_id: clerkId, deleted_at: null }, select: WANTED });
  return user ? response.json(user) : response.sendStatus(404);
});
app.get("/readyz", async (_, response) => {
  await prisma.users.findFirst();
  response.json({ ready: true });
});

app.listen(Number(process.env.PORT), "127.0.0.1");
