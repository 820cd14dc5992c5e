// Endpoints of a model in a Hono app: npx ts-node examples/service/hono.ts MODEL
import { createServer } from "node:http";
import { EvaClip } from "eva-clip";
import { createHandler, type RequestHandler, toNodeHandler } from "eva-clip/serve";
import { Hono } from "hono";

/** An app with the endpoints of a handler below `/clip`, beside its own routes. */
export function makeApp(handler: RequestHandler): Hono {
  const app = new Hono();
  app.mount("/clip", handler);
  app.get("/", (context) => context.json({ hello: "world" }));
  return app;
}

async function main(path: string): Promise<void> {
  const app = makeApp(createHandler(await EvaClip.load(path)));
  createServer(toNodeHandler(async (request) => app.fetch(request))).listen(3000);
  console.log("http://localhost:3000");
}

if (require.main === module) void main(process.argv[2] ?? "model");
