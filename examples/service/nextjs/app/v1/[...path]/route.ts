// The endpoints of a model in a Next.js app, at /v1/embeddings, /v1/classify, /v1/models, …
import { EvaClip } from "eva-clip";
import { createHandler, type RequestHandler } from "eva-clip/serve";

export const runtime = "nodejs";
export const dynamic = "force-dynamic";

/** In development Next.js loads this file again after each change; the model is loaded once. */
const kept = globalThis as { clip?: Promise<RequestHandler> };

async function load(): Promise<RequestHandler> {
  const model = await EvaClip.load(process.env.CLIP_MODEL ?? "model");
  return createHandler(model);
}

async function answer(request: Request): Promise<Response> {
  kept.clip ??= load();
  const handler = await kept.clip;
  return handler(request);
}

export { answer as GET, answer as OPTIONS, answer as POST };
