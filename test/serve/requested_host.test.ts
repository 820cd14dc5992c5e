import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { json } from "node:stream/consumers";
import { serve, type ServeOptions } from "eva-clip/serve";

/** The status of requests that name a host each. */
async function statuses(options: ServeOptions, hosts: readonly string[]): Promise<number[]> {
  await using server = await serve(async () => new Response("heard"), { ...options, port: 0 });
  const all = hosts.map(async (host) => {
    const [response] = (await once(get(server.url, { headers: { host } }), "response")) as [IncomingMessage];
    response.resume();
    return response.statusCode!;
  });
  return await Promise.all(all);
}

const OWN = ["localhost", "LOCALHOST:8080", "clip.localhost", "127.0.0.1:8080", "[::1]:80", "192.168.1.7"];
const OTHERS = ["example.com", "localhost.example.com", "127.0.0.1.example.com:8080", "example.com."];

test("on loopback only localhost and addresses are answered, so that no page reads through a name of its own", async () => {
  for (const host of ["127.0.0.1", "localhost"]) {
    expect(await statuses({ host }, OWN)).toEqual(OWN.map(() => 200));
    expect(await statuses({ host }, OTHERS)).toEqual(OTHERS.map(() => 421));
  }
});

test("elsewhere every host is answered unless names are given", async () => {
  expect(await statuses({ host: "0.0.0.0" }, [...OWN, ...OTHERS])).toEqual(
    [...OWN, ...OTHERS].map(() => 200),
  );
  const allowHosts = ["clip.example.com"];
  expect(
    await statuses({ host: "0.0.0.0", allowHosts }, ["clip.example.com", "10.0.0.1", "evil.com"]),
  ).toEqual([200, 200, 421]);
});

test("names are allowed as given, whatever the port", async () => {
  const asked = [
    "clip.example.com",
    "CLIP.example.com:8443",
    "clip.example.com.",
    "example.com",
    "a.example.com",
  ];
  expect(await statuses({ allowHosts: ["clip.example.com"] }, asked)).toEqual([200, 200, 200, 421, 421]);
  expect(await statuses({ allowHosts: ["*.example.com"] }, asked)).toEqual([200, 200, 200, 421, 200]);
  expect(await statuses({ allowHosts: ["*"] }, asked)).toEqual([200, 200, 200, 200, 200]);
  await expect(serve(async () => new Response(), { allowHosts: ["a b"] })).rejects.toThrow(
    /serve: options.allowHosts must be a host such as .*, found "a b"/,
  );
});

test("the refusal tells what to do, and the handler is not called", async () => {
  const handler = jest.fn(async () => new Response());
  await using server = await serve(handler, { port: 0 });
  const headers = { host: "clip.example.com" };
  const [response] = (await once(get(server.url, { headers }), "response")) as [IncomingMessage];
  expect(await json(response)).toEqual({
    error: {
      message:
        "requests for the host clip.example.com are not answered: start the service with allowHosts (--allow-hosts clip.example.com)",
      type: "invalid_request_error",
      param: null,
      code: "host_not_allowed",
    },
  });
  expect(handler).not.toHaveBeenCalled();
});
