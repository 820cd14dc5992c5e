import { connect } from "node:net";
import { serve } from "eva-clip/serve";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What a server answers to bytes sent as they are. */
async function exchange(url: string, bytes: string, endAfterMs?: number): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(bytes);
  if (endAfterMs !== undefined) setTimeout(() => socket.destroy(), endAfterMs);
  let text = "";
  try {
    for await (const chunk of socket) text += chunk;
  } catch {
    // The connection was cut.
  }
  return text;
}

/** Answers with what it was asked. */
const echo = async (request: Request) =>
  Response.json({
    method: request.method,
    url: request.url,
    type: request.headers.get("content-type"),
    body: await request.text(),
  });

test("passes the request on and its answer back", async () => {
  await using server = await serve(echo, { port: 0 });
  expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  const response = await fetch(`${server.url}/a/b?c=d`, {
    method: "POST",
    body: "text",
    headers: { "content-type": "x/y" },
  });
  expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  expect(await response.json()).toEqual({
    method: "POST",
    url: `${server.url}/a/b?c=d`,
    type: "x/y",
    body: "text",
  });
  const head = await fetch(server.url, { method: "HEAD" });
  expect(head.status).toBe(200);
});

test("a handler that answers before the body has arrived is heard", async () => {
  const refuse = async () => Response.json({ error: "too large" }, { status: 413 });
  await using server = await serve(refuse, { port: 0 });
  const response = await fetch(server.url, { method: "POST", body: new Uint8Array(20 * 2 ** 20) });
  expect(response.status).toBe(413);
  expect(await response.json()).toEqual({ error: "too large" });
});

test("a handler that stops reading in the middle is heard", async () => {
  const refuse = async (request: Request) => {
    const reader = request.body!.getReader();
    await reader.read();
    await reader.cancel();
    return Response.json({ error: "too large" }, { status: 413 });
  };
  await using server = await serve(refuse, { port: 0 });
  const response = await fetch(server.url, { method: "POST", body: new Uint8Array(20 * 2 ** 20) });
  expect(response.status).toBe(413);
});

test("the handler learns that the client is gone", async () => {
  let gone: Promise<unknown> | undefined;
  const wait = (request: Request) => {
    gone = new Promise((resolve) => request.signal.addEventListener("abort", () => resolve(true)));
    return gone.then(() => new Response());
  };
  await using server = await serve(wait, { port: 0 });
  await exchange(server.url, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 50);
  expect(await gone).toBe(true);
});

test("errors of the handler and of HTTP have OpenAI's shape", async () => {
  const fail = async () => Promise.reject(new Error("secret"));
  await using server = await serve(fail, { port: 0 });
  const response = await fetch(server.url);
  expect(response.status).toBe(500);
  expect(await response.json()).toMatchObject({ error: { message: "internal error", type: "server_error" } });
  const malformed = await exchange(server.url, "no HTTP\r\n\r\n");
  expect(malformed).toMatch(/^HTTP\/1\.1 400 .*"type":"invalid_request_error"/s);
  expect(
    await exchange(server.url, "GET /%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
  ).toMatch(/^HTTP\/1\.1 (400|500)/);
  expect(
    await exchange(server.url, "TRACE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
  ).toMatch(/^HTTP\/1\.1 405/);
});

test("slow clients are cut off", async () => {
  await using server = await serve(echo, { port: 0, headersTimeoutMs: 300, bodyTimeoutMs: 600 });
  const begin = Date.now();
  const [headers, body] = await Promise.all([
    exchange(server.url, "GET / HTTP/1.1\r\nHost: localhost\r\n"),
    exchange(server.url, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc"),
  ]);
  expect(headers).toMatch(/^HTTP\/1\.1 408/);
  expect(body).toMatch(/^HTTP\/1\.1 408/);
  expect(Date.now() - begin).toBeLessThan(4000);
});

test("an address in use is named", async () => {
  await using server = await serve(echo, { port: 0 });
  const { port } = new URL(server.url);
  await expect(serve(echo, { port: Number(port) })).rejects.toMatchObject({
    code: "ERR_EVACLIP_LISTEN",
    message: `cannot listen at 127.0.0.1:${port}: the port is in use: choose another one`,
  });
  await expect(serve(echo, { host: "192.0.2.1" })).rejects.toMatchObject({ code: "ERR_EVACLIP_LISTEN" });
});

describe("closing", () => {
  test("finishes requests under way and refuses new connections", async () => {
    const order: string[] = [];
    const slow = Object.assign(
      async () => {
        await pause(200);
        order.push("answered");
        return new Response("done");
      },
      { drain: () => order.push("drain") },
    );
    const server = await serve(slow, { port: 0 });
    const pending = fetch(server.url);
    await pause(50);
    const closing = server.close();
    await expect(fetch(server.url)).rejects.toThrow();
    expect(await (await pending).text()).toBe("done");
    expect(await closing).toBe(true);
    expect(order).toEqual(["drain", "answered"]);
  });

  test("cuts requests that take longer than it may", async () => {
    const server = await serve(() => new Promise(() => undefined), { port: 0 });
    const pending = fetch(server.url).catch((error: Error) => error.message);
    await pause(50);
    const begin = Date.now();
    expect(await server.close(100)).toBe(false);
    expect(Date.now() - begin).toBeLessThan(1000);
    expect(await pending).toBe("fetch failed");
  });
});

test("the log has a line per request, without its content", async () => {
  const lines: string[] = [];
  const logStream = { write: (line: string) => lines.push(line) };
  await using server = await serve(echo, { port: 0, logLevel: "info", logStream });
  const response = await fetch(`${server.url}/v1/x?secret=1`, { method: "POST", body: "secret" });
  const { body } = (await response.json()) as { body: string };
  expect(body).toBe("secret");
  server.log.warn("a warning");
  await server.close();
  const logged = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(lines.join("")).not.toContain("secret");
  const request = logged.find(({ msg }) => msg === "request");
  expect(request).toMatchObject({
    method: "POST",
    path: "/v1/x",
    status: 200,
    bytesIn: 6,
    ms: expect.any(Number),
  });
  expect(request!.id).toBe(response.headers.get("x-request-id"));
  expect(request!.bytesOut).toBeGreaterThan(10);
  expect(logged.at(-1)).toMatchObject({ level: 40, msg: "a warning" });
});
