import type { Agent } from "node:http";
import { connect } from "node:net";
import sharp from "sharp";
import { connections, type Sent, send } from "./http_client";
import { formRequest, jsonRequest, rawRequest } from "./requests";
import type { Workload } from "./workload";

/** A request that no correct client sends, and the statuses that answer it; 0 is a connection that the client has closed. */
interface Malformed {
  name: string;
  expected: readonly number[];
  send(url: string, agent: Agent): Promise<number>;
}

export interface MalformedResult {
  name: string;
  expected: readonly number[];
  /** How often it was sent. */
  times: number;
  /** Statuses other than expected. */
  wrong: number[];
}

const MEBIBYTE = 2 ** 20;

/** A PNG of a few kilobytes that decodes to 2.5 gigapixels: its header states the size, its rows are zeros. */
async function bomb(): Promise<Buffer> {
  const png = await sharp({ create: { width: 20_000, height: 1, channels: 3, background: "black" } })
    .png()
    .toBuffer();
  return withSize(png, 50_000, 50_000);
}

/** A PNG with another size in its header. */
function withSize(png: Buffer, width: number, height: number): Buffer {
  const bytes = Buffer.from(png);
  bytes.writeUInt32BE(width, 16);
  bytes.writeUInt32BE(height, 20);
  bytes.writeUInt32BE(crc32(bytes.subarray(12, 29)), 29);
  return bytes;
}

/** As PNG's chunks have it; zlib's own comes with Node 20.15 and is missing from its types. */
function crc32(bytes: Buffer): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

const plain = (name: string, expected: readonly number[], sent: Sent): Malformed => ({
  name,
  expected,
  send: async (url, agent) => (await send(url, agent, sent)).status,
});

/** Bytes over a connection of its own. @returns the status, 0 if there is none */
function exchange(url: string, bytes: Buffer | string, closeAfterMs?: number): Promise<number> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0)));
    socket.write(bytes);
    if (closeAfterMs !== undefined) setTimeout(() => socket.destroy(), closeAfterMs);
  });
}

const over = (
  name: string,
  expected: readonly number[],
  bytes: Buffer | string,
  closeAfterMs?: number,
): Malformed => ({
  name,
  expected,
  send: (url) => exchange(url, bytes, closeAfterMs),
});

const head = (length: number, type = "application/json") =>
  `POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`;

/** Requests whose body is wrong as JSON. */
function wrongJson(model: string): Malformed[] {
  const bytes = (text: string) => ({ ...jsonRequest(null), body: text });
  return [
    plain("wrong JSON", [400], bytes(`{"model":"${model}","input":`)),
    plain("deep JSON", [400], bytes(`{"input":${"[".repeat(100_000)}${"]".repeat(100_000)}}`)),
    plain("not UTF-8", [400], { ...jsonRequest(null), body: Buffer.from([0x22, 0xff, 0x22]) }),
    plain("wrong types", [400], jsonRequest({ model, input: 7 })),
    plain("token ids", [400], jsonRequest({ model, input: [1, 2, 3] })),
    plain("an unknown field", [400], jsonRequest({ model, input: "a", inputs: "b" })),
    plain("an unknown model", [404], jsonRequest({ model: "gpt", input: "a" })),
    plain("dimensions of NaN", [400], bytes(`{"model":"${model}","input":"a","dimensions":NaN}`)),
    plain("dimensions of 1e999", [400], bytes(`{"model":"${model}","input":"a","dimensions":1e999}`)),
    plain("too many texts", [400], jsonRequest({ model, input: Array(5000).fill("a") })),
    plain("wrong base64", [400], jsonRequest({ model, input: ["data:image/png;base64,iVBOR w0KGgo*"] })),
    plain("a path", [400], jsonRequest({ model, modality: "image", input: "/etc/passwd" })),
    plain("a URL", [400], jsonRequest({ model, modality: "image", input: "https://127.0.0.1/a.png" })),
  ];
}

/** Requests whose image is wrong, and one that is only small. */
async function wrongImages({ model, images }: Workload): Promise<Malformed[]> {
  const [good, other] = images as [Buffer, Buffer];
  const create = { width: 1, height: 1, channels: 3 as const, background: "red" };
  const dot = await sharp({ create }).png().toBuffer();
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>';
  const truncated = good.subarray(0, good.length >> 1);
  return [
    // A picture like any other: it is enlarged.
    plain("a 1 x 1 image", [200], rawRequest(dot, model, "image/png")),
    plain("a truncated JPEG", [400], rawRequest(truncated, model)),
    plain("a decompression bomb", [400, 413], rawRequest(await bomb(), model, "image/png")),
    plain("an image of 0 x 0", [400], rawRequest(withSize(dot, 0, 0), model, "image/png")),
    plain("an image of 2^31 x 1", [400, 413], rawRequest(withSize(dot, 2 ** 31, 1), model, "image/png")),
    plain("SVG", [400], rawRequest(Buffer.from(svg), model, "image/svg+xml")),
    plain("an empty image", [400], rawRequest(Buffer.alloc(0), model)),
    plain(
      "a poison image among good ones",
      [400],
      formRequest([
        ["model", model],
        ["image", good],
        ["image", truncated],
        ["image", other],
      ]),
    ),
    plain("too many images", [400], formRequest([["model", model], ...Array(40).fill(["image", dot])])),
  ];
}

/** What is wrong before the body is read, and clients that do not go on. */
function wrongHttp({ model, images }: Workload): Malformed[] {
  const text = Buffer.from(JSON.stringify({ model, input: "a" }));
  const image = Buffer.concat([Buffer.from(head(images[0]!.length, "image/jpeg")), images[0]!]);
  const huge: Sent = { ...jsonRequest(null), body: Buffer.alloc(100 * MEBIBYTE, "a") };
  return [
    plain("a body of 100 MB", [413], huge),
    plain("an unknown path", [404], { method: "GET", path: "/v1/nothing" }),
    plain("a path that is not UTF-8", [400, 404], { method: "GET", path: "/%ff%fe" }),
    plain("an unknown method", [405], { method: "DELETE", path: "/v1/embeddings" }),
    plain("a wrong content type", [415], { ...jsonRequest({}), headers: { "content-type": "text/plain" } }),
    plain("a wrong form", [400], { ...formRequest([]), body: "--other\r\n" }),
    plain("a compressed body", [415], {
      ...jsonRequest({}),
      headers: { "content-type": "application/json", "content-encoding": "br" },
    }),
    over("no HTTP", [400], "hello\r\n\r\n"),
    over(
      "headers of 100 kB",
      [431],
      `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${"a".repeat(100_000)}\r\n\r\n`,
    ),
    over("a vanished client, in its body", [0], Buffer.concat([Buffer.from(head(1000)), text]), 20),
    over("a vanished client, before its answer", [0], image, 5),
  ];
}

/** Clients that send nothing more, which take as long as the service waits: few of them are sent. */
const slow: readonly Malformed[] = [
  over("a slow client, in its headers", [408], "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\n"),
  over("a slow client, in its body", [408], `${head(1000)}{"input":`),
];

/** Sends `count` malformed requests, some at a time. */
export async function sendMalformed(
  url: string,
  workload: Workload,
  count: number,
): Promise<MalformedResult[]> {
  const quick = [...wrongJson(workload.model), ...(await wrongImages(workload)), ...wrongHttp(workload)];
  const results = new Map<Malformed, MalformedResult>();
  const agent = connections(16);
  const sendOne = async (malformed: Malformed) => {
    const { name, expected } = malformed;
    const result = results.get(malformed) ?? { name, expected, times: 0, wrong: [] };
    results.set(malformed, result);
    result.times++;
    const status = await malformed.send(url, agent).catch(() => -1);
    if (!expected.includes(status)) result.wrong.push(status);
  };
  const waiting = Promise.all(
    Array.from({ length: Math.ceil(count / 50) }, (_, i) => sendOne(slow[i % slow.length]!)),
  );
  let next = 0;
  const sender = async () => {
    while (next < count) await sendOne(quick[next++ % quick.length]!);
  };
  await Promise.all(Array.from({ length: 8 }, sender));
  await waiting;
  agent.destroy();
  return [...results.values()];
}
