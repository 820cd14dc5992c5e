import { Batcher } from "../../lib/serve/batcher";
import { eventLoopHeldMs } from "../support/event_loop";
import { makeModel, picture, useService } from "./service";

/** A service holds the event loop of a process that has other things to do; what it does for a request comes in turns. */
const LIMIT_MS = 20;
/** As a socket delivers them. */
const CHUNK_BYTES = 65_536;
const MEBIBYTE = 2 ** 20;

/** A picture in a file of many bytes: those after the end of a PNG are not read. */
const large = async (bytes: number) => Buffer.concat([await picture("red"), Buffer.alloc(bytes, 7)]);

function requestOf(type: string, body: Buffer): Request {
  const count = Math.ceil(body.length / CHUNK_BYTES);
  const chunks = Array.from({ length: count }, (_, i) =>
    body.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES),
  );
  const init = { method: "POST", headers: { "content-type": type }, body: ReadableStream.from(chunks) };
  return new Request("http://localhost/v1/embeddings", { ...init, duplex: "half" } as RequestInit);
}

const json = (body: unknown) => ["application/json", Buffer.from(JSON.stringify(body))] as const;

async function form(file: Buffer) {
  const data = new FormData();
  data.append("image", new Blob([file]), "large.png");
  const { headers, body } = new Response(data);
  return [headers.get("content-type")!, Buffer.from(await new Response(body).arrayBuffer())] as const;
}

const imagesInBase64 = async () => {
  const image = (await large(0.7 * MEBIBYTE)).toString("base64");
  return json({ input: Array(20).fill({ image }) });
};

afterEach(() => jest.restoreAllMocks());

test.each([
  ["many images in base64", imagesInBase64],
  ["the bytes of a large file", async () => ["image/png", await large(24 * MEBIBYTE)] as const],
  ["the bytes of a large file in a form", async () => form(await large(24 * MEBIBYTE))],
  ["many texts", async () => json({ input: Array.from({ length: 2048 }, (_, i) => `a photo of ${i}`) })],
])("%s do not hold the event loop", async (_, make) => {
  // An answer with 2,048 embeddings of a common size is large, too. How calls share batches has tests of its own.
  await using model = await makeModel({ embed_dim: 512 });
  const vector = new Float32Array(512).fill(1 / 3);
  jest.spyOn(Batcher.prototype, "encodeText").mockImplementation(async () => vector);
  const [type, body] = await make();
  await useService(model, {}, async ({ handler }) => {
    const send = async () => {
      const answer = await handler(requestOf(type, body));
      expect(answer.status).toBe(200);
      let bytes = 0;
      for await (const chunk of answer.body!) bytes += chunk.byteLength;
      expect(bytes).toBe(Number(answer.headers.get("content-length")));
    };
    // Code is slow until it has been compiled.
    for (let run = 0; run < 3; run++) await send();
    expect(await eventLoopHeldMs(LIMIT_MS, send)).toBeLessThan(LIMIT_MS);
  });
});
