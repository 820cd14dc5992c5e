import { EvaClip } from "eva-clip";
import { createHandler } from "../../lib/serve/handler";
import smallModel from "../../scripts/package_consumer/small_model.json";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

let model: EvaClip;
beforeAll(async () => {
  model = await EvaClip.create(smallModel, { device: "cpu", threads: 1, init: "fan_in" });
});
afterAll(() => model.dispose());
afterEach(() => jest.restoreAllMocks());

/** The status and the reason of /readyz. */
async function probe(handler: (request: Request) => Promise<Response>) {
  const response = await handler(new Request("http://x/readyz"));
  const { status, error } = (await response.json()) as {
    status?: string;
    error?: { message: string; code: string };
  };
  return [response.status, status ?? error?.message, error?.code];
}

const GREEN = [200, "ready", undefined];

test("a batch goes through the device, and a second probe reuses its result for a while", async () => {
  const pixels = jest.spyOn(model, "encodePixels");
  const texts = jest.spyOn(model, "encodeText");
  const handler = createHandler({ small: model }, { readiness: { cacheMs: 100 } });
  expect(await Promise.all([probe(handler), probe(handler)])).toEqual([GREEN, GREEN]);
  expect(await probe(handler)).toEqual(GREEN);
  expect([pixels, texts].map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
  await pause(120);
  expect(await probe(handler)).toEqual(GREEN);
  expect(pixels).toHaveBeenCalledTimes(2);
  await handler.dispose();
});

test("red while the device hangs, with one batch waiting for it, and green when it goes on", async () => {
  let goOn = (): void => undefined;
  const hang = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const encode = model.encodePixels.bind(model);
  const spy = jest.spyOn(model, "encodePixels").mockImplementation(async (...given) => {
    await hang;
    return encode(...given);
  });
  const handler = createHandler({ small: model }, { readiness: { timeoutMs: 100, cacheMs: 20 } });
  const red = [503, "the device has not finished a batch within 100 ms", "not_ready"];
  expect(await probe(handler)).toEqual(red);
  const begin = Date.now();
  expect(await probe(handler)).toEqual(red);
  expect(Date.now() - begin).toBeLessThan(80);
  await pause(30);
  expect(await probe(handler)).toEqual(red);
  expect(spy).toHaveBeenCalledTimes(1);
  // Liveness says nothing of the device, and the metrics do not wait for it.
  expect((await handler(new Request("http://x/healthz"))).status).toBe(200);
  goOn();
  await pause(50);
  expect(await probe(handler)).toEqual(GREEN);
  await handler.dispose();
});

test("red with the reason while the device fails, and green when it has recovered", async () => {
  jest.spyOn(model, "encodeText").mockRejectedValueOnce(new Error("the GPU failed"));
  const handler = createHandler({ small: model }, { readiness: { cacheMs: 1 } });
  expect(await probe(handler)).toEqual([503, "the model small failed: the GPU failed", "not_ready"]);
  await pause(5);
  expect(await probe(handler)).toEqual(GREEN);
  await handler.dispose();
});

test("red at once when it drains, while everything else is answered", async () => {
  const handler = createHandler({ small: model });
  expect(await probe(handler)).toEqual(GREEN);
  handler.drain();
  expect(await probe(handler)).toEqual([503, "the server is shutting down", "not_ready"]);
  expect((await handler(new Request("http://x/healthz"))).status).toBe(200);
  await handler.dispose();
});

test("a probe that is given up does not stop the batch", async () => {
  jest.spyOn(model, "encodePixels").mockImplementation(async () => {
    await pause(80);
    return new Float32Array(1);
  });
  const handler = createHandler({ small: model });
  await handler(new Request("http://x/readyz", { signal: AbortSignal.timeout(20) }));
  await pause(100);
  expect(await probe(handler)).toEqual(GREEN);
  await handler.dispose();
});
