// Endpoints of a model in an Express app: npx ts-node examples/service/express.ts MODEL
import { EvaClip } from "eva-clip";
import { createHandler, type RequestHandler, toNodeHandler } from "eva-clip/serve";
import express, { type Express } from "express";

/** An app with the endpoints of a handler below `/clip`, beside its own routes. */
export function makeApp(handler: RequestHandler): Express {
  const app = express();
  // Before express.json(): the handler reads bodies itself, so that it can stop at its limits.
  app.use("/clip", toNodeHandler(handler));
  app.use(express.json());
  app.get("/", (_request, response) => {
    response.json({ hello: "world" });
  });
  return app;
}

async function main(path: string): Promise<void> {
  const model = await EvaClip.load(path);
  makeApp(createHandler(model)).listen(3000, () => console.log("http://localhost:3000"));
}

if (require.main === module) void main(process.argv[2] ?? "model");
