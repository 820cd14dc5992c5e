import { readFileSync } from "node:fs";
import { createServer, Agent, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo, LookupFunction } from "node:net";
import { join } from "node:path";
import { connect } from "node:tls";
import { parseAllowedHosts } from "../../lib/serve/allowed_hosts";
import { fetchImage, type FetchImageOptions, type Network } from "../../lib/serve/remote/remote_image";

const fixture = (...names: string[]) => readFileSync(join(__dirname, "../fixtures", ...names));
const cert = fixture("https", "cert.pem");
const image = fixture("image_rgb_wide.png");

let server: Server;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let requests: { host: string | undefined; url: string | undefined; credentials: unknown }[];

beforeAll(async () => {
  server = createServer({ key: fixture("https", "key.pem"), cert }, (request, response) => {
    const { host, authorization, cookie } = request.headers;
    requests.push({ host, url: request.url, credentials: authorization ?? cookie });
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  requests = [];
  answer = (_, response) => response.end(image);
});

const PUBLIC = "93.184.216.34";
type Names = Readonly<Record<string, readonly string[]>>;

/** A network in which names have these addresses, and every address is that of the server of this test. */
function networkOf(names: Names): Network & { connections: string[] } {
  const connections: string[] = [];
  const agent = new Agent({ keepAlive: false });
  agent.createConnection = (options) => {
    const { lookup, host, servername } = options as {
      lookup: LookupFunction;
      host: string;
      servername: string;
    };
    lookup(host, { all: false }, (_, address) => connections.push(`${servername} at ${String(address)}`));
    const { port } = server.address() as AddressInfo;
    return connect({ host: "127.0.0.1", port, servername, ca: cert });
  };
  const resolve = async (host: string) => {
    if (!Object.hasOwn(names, host)) throw new Error(`getaddrinfo ENOTFOUND ${host}`);
    return names[host]!.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
  };
  return { agent, resolve, connections };
}

const INTERNET = {
  "images.example.com": [PUBLIC],
  "other.example.com": [PUBLIC],
  "inner.example.com": ["10.0.0.7"],
};

function fetched(
  url: string,
  {
    hosts = ["*.example.com"],
    names = INTERNET as Names,
    ...options
  }: Partial<FetchImageOptions> & { hosts?: string[]; names?: Names } = {},
) {
  const allowedHosts = parseAllowedHosts("hosts", hosts);
  return fetchImage(
    url,
    { maxBytes: 2 ** 20, timeoutMs: 2000, param: "input[0]", ...options, allowedHosts },
    networkOf(names),
  );
}

const refused = (status: number, message: RegExp | string) =>
  expect.objectContaining({
    status,
    param: "input[0]",
    message: typeof message === "string" ? message : expect.stringMatching(message),
  });

test("fetches over a connection to the address that was checked, under the host's name", async () => {
  const network = networkOf(INTERNET);
  const allowedHosts = parseAllowedHosts("hosts", ["images.example.com"]);
  const bytes = await fetchImage(
    "https://images.example.com/a.png?b=c",
    { allowedHosts, maxBytes: 2 ** 20, timeoutMs: 2000 },
    network,
  );
  expect(Buffer.from(bytes).equals(image)).toBe(true);
  expect(network.connections).toEqual([`images.example.com at ${PUBLIC}`]);
  expect(requests).toEqual([{ host: "images.example.com", url: "/a.png?b=c", credentials: undefined }]);
});

test("a host that resolves to another address the second time is not asked twice", async () => {
  const network = networkOf(INTERNET);
  const answers = [[PUBLIC], ["127.0.0.1"]];
  const resolve = async () => answers.shift()!.map((address) => ({ address, family: 4 }));
  const allowedHosts = parseAllowedHosts("hosts", ["*"]);
  const own = { allowedHosts, maxBytes: 2 ** 20, timeoutMs: 2000 };
  await fetchImage("https://images.example.com/", own, { ...network, resolve });
  expect(network.connections).toEqual([`images.example.com at ${PUBLIC}`]);
  expect(answers.length).toBe(1);
});

test("a certificate of another host is refused", async () => {
  const names = { "third.example.com": [PUBLIC] };
  await expect(fetched("https://third.example.com/", { names })).rejects.toEqual(
    refused(422, "the image could not be fetched"),
  );
  expect(requests).toEqual([]);
});

test.each([
  ["http://images.example.com/", 400, /must begin with https/],
  ["file:///etc/passwd", 400, /must begin with https/],
  ["ftp://images.example.com/", 400, /must begin with https/],
  ["images/cat.png", 400, /is not a URL/],
  [`https://images.example.com/${"a".repeat(3000)}`, 400, /is not a URL/],
  ["https://me:secret@images.example.com/", 400, /user name or password/],
  ["https://elsewhere.org/", 403, /does not fetch/],
  ["https://images.example.com.elsewhere.org/", 403, /does not fetch/],
  ["https://example.com/", 403, /does not fetch/],
  ["https://notexample.com/", 403, /does not fetch/],
  ["https://images.example.com:22/", 403, /does not fetch/],
  ["https://inner.example.com/", 403, /no public address/],
  ["https://missing.example.com/", 403, /no public address/],
])("%s is refused with %d", async (url, status, message) => {
  const error = await fetched(url).catch((thrown: unknown) => thrown);
  expect(error).toEqual(refused(status, message));
  expect((error as Error).message).not.toMatch(/secret|10\.0\.0\.7|ENOTFOUND/);
  expect(requests).toEqual([]);
});

test.each([
  ["a loopback address", "https://127.0.0.1/"],
  ["one in another notation", "https://0x7f.1/"],
  ["one of IPv6", "https://[::1]/"],
  ["a mapped one", "https://[::ffff:127.0.0.1]/"],
  ["a link-local one of cloud metadata", "https://169.254.169.254/latest/meta-data"],
  ["localhost", "https://localhost/"],
])("with every host allowed, %s is refused", async (_, url) => {
  const allowedHosts = parseAllowedHosts("hosts", ["*"]);
  const own = { allowedHosts, maxBytes: 100, timeoutMs: 2000 };
  // The network is the real one.
  await expect(fetchImage(url, own)).rejects.toMatchObject({
    status: 403,
    message: "the host of the URL has no public address",
  });
});

test("one private address among public ones is enough to refuse a host", async () => {
  const names = { "images.example.com": [PUBLIC, "192.168.1.1"] };
  await expect(fetched("https://images.example.com/", { names })).rejects.toEqual(
    refused(403, /no public address/),
  );
});

describe("redirects", () => {
  const redirect = (...targets: string[]) => {
    answer = (_, response) => {
      const location = targets.shift();
      if (location === undefined) response.end(image);
      else response.writeHead(302, { location }).end();
    };
  };

  test("are followed, also relative ones, three times", async () => {
    redirect("/b", "https://other.example.com/c", "d");
    expect((await fetched("https://images.example.com/a")).length).toBe(image.length);
    expect(requests.map(({ host, url }) => `${host}${url}`)).toEqual([
      ...["images.example.com/a", "images.example.com/b", "other.example.com/c", "other.example.com/d"],
    ]);
    redirect("/1", "/2", "/3", "/4");
    await expect(fetched("https://images.example.com/a")).rejects.toEqual(
      refused(422, /redirects more than 3 times/),
    );
  });

  test.each([
    ["http://images.example.com/", 400],
    ["https://elsewhere.org/", 403],
    ["https://inner.example.com/", 403],
    ["https://127.0.0.1/", 403],
    ["https://a:b@images.example.com/", 400],
    ["file:///etc/passwd", 400],
  ])("to %s are refused", async (location, status) => {
    redirect(location);
    const error = await fetched("https://images.example.com/").catch((thrown: unknown) => thrown);
    expect(error).toEqual(refused(status, /./));
    expect((error as Error).message).not.toContain(location);
    expect(requests.length).toBe(1);
  });
});

describe("what the host sends", () => {
  test("may not be too large, whether it says so or not", async () => {
    answer = (_, response) => response.writeHead(200, { "content-length": 10_000 }).end(Buffer.alloc(10_000));
    await expect(fetched("https://images.example.com/", { maxBytes: 5000 })).rejects.toEqual(
      refused(413, /larger than 5000 bytes/),
    );
    answer = (_, response) => {
      for (let i = 0; i < 10; i++) response.write(Buffer.alloc(1000));
      response.end();
    };
    await expect(fetched("https://images.example.com/", { maxBytes: 5000 })).rejects.toEqual(
      refused(413, /larger/),
    );
  });

  test("must be an image by its bytes", async () => {
    answer = (_, response) => response.writeHead(200, { "content-type": "image/png" }).end("<html><body>");
    await expect(fetched("https://images.example.com/")).rejects.toEqual(
      refused(422, /its format is XML or HTML/),
    );
    answer = (_, response) => response.writeHead(404).end(image);
    await expect(fetched("https://images.example.com/")).rejects.toEqual(
      refused(422, /answers with status 404/),
    );
  });

  test("must come in time", async () => {
    answer = (_, response) => void response.write("a");
    await expect(fetched("https://images.example.com/", { timeoutMs: 200 })).rejects.toEqual(
      refused(504, /within 200 ms/),
    );
    answer = () => undefined;
    await expect(fetched("https://images.example.com/", { timeoutMs: 200 })).rejects.toEqual(
      refused(504, /within 200 ms/),
    );
  });

  test("is not waited for after the caller's signal", async () => {
    answer = () => undefined;
    const signal = AbortSignal.timeout(50);
    const error = await fetched("https://images.example.com/", { signal }).catch((thrown: unknown) => thrown);
    expect(error).toBe(signal.reason);
  });

  test("may break off", async () => {
    answer = (_, response) => {
      response.writeHead(200, { "content-length": 1000 }).write("a");
      setTimeout(() => response.destroy(), 20);
    };
    await expect(fetched("https://images.example.com/")).rejects.toEqual(
      refused(422, "the image could not be fetched"),
    );
  });
});
