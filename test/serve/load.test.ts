// The short form of `npm run bench -- serve`, in one process and with a small model.
import type { EvaClip } from "eva-clip";
import { createHandler, type RequestHandler, type RunningServer, serve } from "eva-clip/serve";
import { Clients } from "../../benchmarks/serve/clients";
import { sendMalformed } from "../../benchmarks/serve/malformed";
import { leastDistance, makeWorkload, type Workload } from "../../benchmarks/serve/workload";
import { makeModel } from "./service";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

let model: EvaClip;
let handler: RequestHandler;
let server: RunningServer;
let workload: Workload;

beforeAll(async () => {
  model = await makeModel();
  handler = createHandler({ small: model }, { maxBatch: 8, limits: { timeoutMs: 10_000 } });
  server = await serve(handler, { port: 0, headersTimeoutMs: 500, bodyTimeoutMs: 2000 });
  workload = await makeWorkload(model, "small", 16);
});

afterAll(async () => {
  await server.close();
  await handler.dispose();
  await model.dispose();
});

test("many clients get the embeddings of their own samples", async () => {
  expect(leastDistance(workload)).toBeGreaterThan(1e-3);
  const clients = new Clients(server.url, workload, 16);
  while (clients.seen.requests + clients.seen.errors < 100) await pause(50);
  await clients.stop();
  const { errors, firstErrors, worstDifference, latencies } = clients.seen;
  expect([errors, firstErrors]).toEqual([0, []]);
  expect(worstDifference).toBeLessThan(1e-5);
  expect(Object.keys(latencies).sort()).toEqual(["json", "mixed", "multipart", "raw", "text", "texts"]);
});

test("malformed requests are refused, while the good ones beside them are answered", async () => {
  const clients = new Clients(server.url, workload, 4);
  const results = await sendMalformed(server.url, workload, 80);
  await clients.stop();
  expect(results.length).toBeGreaterThan(30);
  expect(results.filter(({ wrong }) => wrong.length > 0)).toEqual([]);
  const { requests, errors, firstErrors, worstDifference } = clients.seen;
  expect([errors, firstErrors]).toEqual([0, []]);
  expect(requests).toBeGreaterThan(10);
  expect(worstDifference).toBeLessThan(1e-5);
  expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
});
