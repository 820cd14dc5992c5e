import type { EvaClip } from "eva-clip";
import sharp from "sharp";
import { Batcher } from "../../lib/serve/batcher";
import { dataUri, makeModel, picture, type Service, serviceOf, useService } from "./service";
import type { HandlerOptions } from "../../lib/serve/handler_options";

let model: EvaClip;

beforeAll(async () => {
  model = await makeModel();
});

afterAll(() => model.dispose());
afterEach(() => jest.restoreAllMocks());

const withService = (options: HandlerOptions, use: (service: Service) => Promise<void>) =>
  useService(model, options, use);

const small = { limits: { maxBodyBytes: 1000, maxImages: 2, maxTexts: 3, maxPixels: 10_000 } };
const json = { "content-type": "application/json" };

/** A body of chunks without a stated length; counts those that were asked for. */
function endless(chunkBytes: number): { body: ReadableStream; asked: () => number } {
  let asked = 0;
  const body = new ReadableStream({
    pull(controller) {
      asked++;
      controller.enqueue(new Uint8Array(chunkBytes).fill(0x20));
    },
  });
  return { body, asked: () => asked };
}

describe("the body", () => {
  test("is not read when its stated length is above the limit", () =>
    withService(small, async ({ send }) => {
      const { body, asked } = endless(100);
      const headers = { ...json, "content-length": "1001" };
      const answer = await send("/v1/embeddings", { body, headers, duplex: "half" } as RequestInit);
      expect([answer.status, answer.json.error.code]).toEqual([413, "body_too_large"]);
      expect(asked()).toBeLessThan(3);
    }));

  test("is read up to the limit when it states no length, or a shorter one", () =>
    withService(small, async ({ send }) => {
      for (const length of [{}, { "content-length": "10" }]) {
        const { body, asked } = endless(100);
        const headers = { ...json, ...length };
        const answer = await send("/v1/embeddings", { body, headers, duplex: "half" } as RequestInit);
        expect(answer.status).toBe(413);
        expect(asked()).toBeLessThan(14);
      }
    }));

  test("has a limit of elements beside long strings", () =>
    withService({}, async ({ send }) => {
      const body = `{"input":[${'"a",'.repeat(100_000)}"a"]}`;
      const { status, json: answer } = await send("/v1/embeddings", { body, headers: json });
      expect([status, answer.error.code]).toEqual([413, "body_too_large"]);
    }));

  test("of all requests together is limited", () =>
    withService({ limits: { maxPendingBytes: 1000 } }, async ({ post }) => {
      const { status, headers, json: answer } = await post("/v1/embeddings", { input: "a".repeat(2000) });
      expect([status, headers.get("retry-after")]).toEqual([429, "1"]);
      expect(answer.error.code).toBe("too_many_bytes");
      for (let i = 0; i < 5; i++) {
        const { status } = await post("/v1/embeddings", { input: "a".repeat(400) });
        expect(status).toBe(200);
      }
    }));

  test("that does not arrive in time is 408", () =>
    withService({ limits: { timeoutMs: 60 } }, async ({ send }) => {
      const body = new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array([0x7b])) });
      const answer = await send("/v1/embeddings", { body, headers: json, duplex: "half" } as RequestInit);
      expect([answer.status, answer.json.error.code]).toEqual([408, "timeout"]);
    }));
});

describe("a request", () => {
  test("may have so many texts and images, or prompts", () =>
    withService(small, async ({ post }) => {
      const image = dataUri(await picture("red", 8, 8));
      const texts = await post("/v1/embeddings", { input: ["a", "b", "c", "d"] });
      expect([texts.status, texts.json.error.param]).toEqual([400, "input"]);
      expect(texts.json.error.message).toContain("at most 3 texts, found 4");
      const images = await post("/v2/embed", { images: [image, image, image] });
      expect([images.status, images.json.error.param]).toEqual([400, "images"]);
      expect((await post("/v1/embeddings", { input: ["a", "b", "c", { image }] })).status).toBe(200);
    }));

  test.each(["png", "jpeg", "gif", "webp", "tiff", "avif", "bmp", "pgm"])(
    "may have a %s of so many pixels, by its header",
    (format) =>
      withService({ limits: { maxPixels: 10_000 } }, async ({ post }) => {
        const prepare = jest.spyOn(Batcher.prototype, "encodeOwnBytes");
        const { status, json: answer } = await post("/v1/embeddings", {
          input: [{ image: (await fileOf(format)).toString("base64") }],
        });
        expect([status, answer.error.code]).toEqual([400, "image_too_large"]);
        expect(answer.error.message).toContain("input[0]: the image has 201 x 50 pixels");
        expect(prepare).not.toHaveBeenCalled();
      }),
  );

  test("that takes too long is 504, and what has not started is given up", () =>
    withService({ limits: { timeoutMs: 60 } }, async ({ post }) => {
      const signal = neverEncode();
      const { status, json: answer } = await post("/v1/embeddings", { input: "a" });
      expect([status, answer.error.type]).toEqual([504, "timeout_error"]);
      expect(signal().aborted).toBe(true);
    }));

  test("whose client goes away is given up", () =>
    withService({}, async ({ post }) => {
      const signal = neverEncode();
      const client = new AbortController();
      const answer = post("/v1/embeddings", { input: "a" }, { signal: client.signal });
      setTimeout(() => client.abort(), 30);
      expect((await answer).status).toBe(499);
      expect(signal().aborted).toBe(true);
    }));

  test("beyond the queue is 429, to be sent again later; others are answered", () =>
    withService({ maxQueue: 4, maxBatch: 1 }, async ({ post, get }) => {
      const image = dataUri(await picture("red", 600, 600));
      const sent = Array.from({ length: 20 }, () => post("/v1/embeddings", { input: Array(4).fill(image) }));
      const answers = await Promise.all(sent);
      const refused = answers.filter(({ status }) => status === 429);
      expect(refused.length).toBeGreaterThan(0);
      expect(refused[0]!.headers.get("retry-after")).toBe("1");
      expect(refused[0]!.json.error).toMatchObject({ code: "queue_full", type: "rate_limit_error" });
      expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThan(0);
      expect(
        /^eva_clip_rejected_total\{reason="queue_full"\} [1-9]/m.test((await get("/metrics")).json),
      ).toBe(true);
      expect((await post("/v1/embeddings", { input: "a" })).status).toBe(200);
    }));

  test("may not be longer than the queue", () => {
    expect(() => serviceOf(model, { maxQueue: 8, limits: { maxTexts: 9 } })).toThrow("at most 8");
  });
});

/** Makes texts wait until they are given up; the signal of the latest one. */
function neverEncode(): () => AbortSignal {
  let signal: AbortSignal | undefined;
  jest.spyOn(Batcher.prototype, "encodeText").mockImplementation((_, options) => {
    signal = options?.signal;
    return new Promise((_resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal?.reason));
    });
  });
  return () => signal!;
}

async function fileOf(format: string): Promise<Buffer> {
  const [width, height] = [201, 50];
  if (format === "pgm") return Buffer.from(`P5 ${width} ${height} 255\n`);
  if (format === "bmp") {
    const header = Buffer.alloc(54);
    header.write("BM");
    header.writeUInt32LE(40, 14);
    header.writeInt32LE(width, 18);
    header.writeInt32LE(-height, 22);
    header.writeUInt16LE(24, 28);
    return header;
  }
  const image = sharp({ create: { width, height, channels: 3, background: "red" } });
  return image.toFormat(format as "png").toBuffer();
}

test("errors of the service tell nothing of the machine, but the log does", async () => {
  const warn = jest.fn();
  await withService({ logger: { warn } }, async ({ post }) => {
    jest.spyOn(Batcher.prototype, "encodeText").mockRejectedValue(new Error("cannot read /etc/secret"));
    const { status, json: answer } = await post("/v1/embeddings", { input: "a" });
    expect([status, answer.error.type]).toEqual([500, "server_error"]);
    expect(JSON.stringify(answer)).not.toContain("secret");
    expect(warn.mock.calls.flat().join()).toContain("/etc/secret");
  });
});

test("dispose answers what is under way, and further requests with 503", async () => {
  const { handler, post, get } = serviceOf(model);
  const underWay = post("/v1/embeddings", { input: ["a", "b"] });
  await new Promise((resolve) => setTimeout(resolve, 1));
  const disposed = handler.dispose();
  expect((await get("/readyz")).status).toBe(503);
  expect((await underWay).status).toBe(200);
  await disposed;
  expect((await post("/v1/embeddings", { input: "a" })).status).toBe(503);
  expect(model.disposed).toBe(false);
});
