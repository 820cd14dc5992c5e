// Correct calls of the functions that answer HTTP requests.
import { createHandler, type RequestHandler, type RunningServer, serve, toNodeHandler } from "eva-clip/serve";
import type { PublicCall, World } from "./public_calls";

const handlerOptions = () => ({
  ...{ maxBatch: 4, maxDelayMs: 1, maxQueue: 8, apiKey: ["key"], cors: ["https://example.com"], page: true },
  limits: { maxBodyBytes: 1000, maxPixels: 1000, maxImages: 2, maxTexts: 2, timeoutMs: 1000 },
  ...{ allowImageHosts: ["example.com"], basePath: "/clip", readiness: { timeoutMs: 100, cacheMs: 10 } },
});

export const servingCalls: Readonly<Record<string, (w: World) => PublicCall>> = {
  createHandler: (w) => ({
    target: createHandler,
    given: [{ small: w.model }, handlerOptions()],
    after: ((handler: RequestHandler) => handler.dispose()) as never,
  }),
  "createHandler.call": (w) => {
    const handler = createHandler(w.model);
    const target = (request: Request) => handler(request).finally(() => handler.dispose());
    const body = JSON.stringify({ input: "abc" });
    const headers = { "content-type": "application/json" };
    return { target, given: [new Request("http://x/v1/embeddings", { method: "POST", body, headers })] };
  },
  toNodeHandler: () => ({ target: toNodeHandler, given: [async () => new Response()] }),
  serve: () => ({
    target: serve,
    given: [
      async () => new Response(),
      { host: "127.0.0.1", port: 0, allowHosts: ["localhost"], maxConnections: 4, logLevel: "silent" },
    ],
    after: ((server: RunningServer) => server.close(100)) as never,
  }),
};
