import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { EvaClip } from "eva-clip";
import { createHandler, type RequestHandler, toNodeHandler } from "eva-clip/serve";
import { makeApp as expressApp } from "../../examples/service/express";
import { makeApp as fastifyApp } from "../../examples/service/fastify";
import { makeApp as honoApp } from "../../examples/service/hono";
import { GET, POST } from "../../examples/service/nextjs/app/v1/[...path]/route";
import { dataUri, expectRows, makeModel, picture } from "./service";

let model: EvaClip;
let handler: RequestHandler;
const servers: Server[] = [];

beforeAll(async () => {
  model = await makeModel();
  handler = createHandler(model, { limits: { maxBodyBytes: 100_000 } });
});

afterAll(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  await handler.dispose();
  await model.dispose();
});

async function listen(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Whether a mounted handler answers as the model does, and its own errors. */
async function expectAnswers(send: (path: string, init?: RequestInit) => Promise<Response>): Promise<void> {
  const image = await picture("red");
  const post = (body: string, contentType = "application/json") =>
    send("/v1/embeddings", { method: "POST", body, headers: { "content-type": contentType } });
  const answer = await post(JSON.stringify({ input: ["a cat", { image: dataUri(image) }] }));
  expect(answer.status).toBe(200);
  const { data } = (await answer.json()) as { data: { embedding: number[] }[] };
  const expected = [await model.encodeText("a cat"), await model.encodeImage(image)];
  expectRows(
    data.map(({ embedding }) => embedding),
    expected,
  );
  expect((await post("{")).status).toBe(400);
  expect((await post("a", "text/plain")).status).toBe(415);
  const models = await send("/v1/models");
  expect(await models.json()).toMatchObject({ data: [{ embed_dim: 32 }] });
  const wrong = await send("/v1/embeddings");
  expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "POST"]);
}

const fetchFrom = (base: string) => (path: string, init?: RequestInit) => fetch(`${base}${path}`, init);

describe("a handler answers", () => {
  test("in node:http", async () => expectAnswers(fetchFrom(await listen(toNodeHandler(handler)))));

  test("in fastify", async () => {
    const app = fastifyApp(model);
    const base = await app.listen({ port: 0 });
    await expectAnswers(fetchFrom(`${base}/clip`));
    expect(await (await fetch(base)).json()).toEqual({ hello: "world" });
    await app.close();
  });

  test("in Express", async () => {
    const base = await listen(expressApp(handler));
    await expectAnswers(fetchFrom(`${base}/clip`));
    expect(await (await fetch(base)).json()).toEqual({ hello: "world" });
  });

  test("in Hono", async () => {
    const app = honoApp(handler);
    await expectAnswers(async (path, init) => app.request(`http://localhost/clip${path}`, init));
    await expectAnswers(fetchFrom(`${await listen(toNodeHandler(async (r) => app.fetch(r)))}/clip`));
  });

  test("in a route of Next.js", async () => {
    const folder = mkdtempSync(join(tmpdir(), "eva-clip-next-"));
    await model.save(folder);
    process.env.CLIP_MODEL = folder;
    await expectAnswers(async (path, init) => {
      const route = init?.method === "POST" ? POST : GET;
      return route(new Request(`http://localhost${path}`, init));
    });
    rmSync(folder, { recursive: true });
  });
});

describe("toNodeHandler", () => {
  test("answers a body that is too large before it has arrived, on a connection that still sends", async () => {
    const base = await listen(toNodeHandler(handler));
    const body = Buffer.alloc(20 * 2 ** 20);
    const response = await fetch(`${base}/v1/embeddings`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json" },
    });
    expect(response.status).toBe(413);
  });

  test("aborts the request of a client that goes away", async () => {
    let signal: AbortSignal | undefined;
    const base = await listen(
      toNodeHandler(async (request) => {
        signal = request.signal;
        await setTimeout(10_000, undefined, { signal }).catch(() => undefined);
        return new Response();
      }),
    );
    const socket = connect(Number(new URL(base).port), "127.0.0.1");
    socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    while (signal === undefined) await setTimeout(5);
    socket.destroy();
    while (!signal.aborted) await setTimeout(5);
  });

  test("says so when a body was read before it", async () => {
    const base = await listen(async (request, response) => {
      request.resume();
      await new Promise((resolve) => request.once("end", resolve));
      await toNodeHandler(handler)(request, response);
    });
    const send = fetchFrom(base);
    const response = await send("/v1/embeddings", { method: "POST", body: "{}" });
    expect(response.status).toBeGreaterThanOrEqual(400);
  });

  test("answers 500 for a handler that throws", async () => {
    const base = await listen(toNodeHandler(() => Promise.reject(new Error("secret"))));
    const response = await fetch(base);
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("secret");
  });
});
