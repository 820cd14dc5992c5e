import { EvaClip } from "eva-clip";
import { createHandler } from "../../lib/serve/handler";
import { Readiness, type ReadinessOptions } from "../../lib/serve/readiness";
import smallModel from "../../scripts/package_consumer/small_model.json";

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

let model: EvaClip;
beforeAll(async () => {
  model = await EvaClip.create(smallModel, { device: "cpu", threads: 1, init: "fan_in" });
});
afterAll(() => model.dispose());
afterEach(() => jest.restoreAllMocks());

const readinessWith = (options: ReadinessOptions) => new Readiness(new Map([["small", { model }]]), options);

/** A device that hangs until `goOn` is called. */
function hangingDevice() {
  let goOn = (): void => undefined;
  const hang = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const encode = model.encodePixels.bind(model);
  const runs = jest.spyOn(model, "encodePixels").mockImplementation(async (...given) => {
    await hang;
    return encode(...given);
  });
  return { runs, goOn };
}

test("a batch goes through the device, and a second probe reuses its result for a while", async () => {
  const pixels = jest.spyOn(model, "encodePixels");
  const texts = jest.spyOn(model, "encodeText");
  const readiness = readinessWith({ cacheMs: 200 });
  const both = await Promise.all([readiness.check(), readiness.check()]);
  expect(both).toEqual([{ ready: true }, { ready: true }]);
  expect(await readiness.check()).toEqual({ ready: true });
  expect([pixels, texts].map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
  await pause(220);
  expect(await readiness.check()).toEqual({ ready: true });
  expect(pixels).toHaveBeenCalledTimes(2);
});

test("red while the device hangs, with one batch waiting for it, and green when it goes on", async () => {
  const { runs, goOn } = hangingDevice();
  const readiness = readinessWith({ timeoutMs: 100, cacheMs: 20 });
  const red = { ready: false, reason: "the device has not finished a batch within 100 ms" };
  expect(await readiness.check()).toEqual(red);
  const begin = Date.now();
  expect(await readiness.check()).toEqual(red);
  expect(Date.now() - begin).toBeLessThan(80);
  await pause(30);
  expect(await readiness.check()).toEqual(red);
  expect(runs).toHaveBeenCalledTimes(1);
  goOn();
  await pause(50);
  expect(await readiness.check()).toEqual({ ready: true });
});

test("red with the reason while the device fails, and green when it has recovered", async () => {
  jest.spyOn(model, "encodeText").mockRejectedValueOnce(new Error("the GPU failed"));
  const readiness = readinessWith({ cacheMs: 1 });
  expect(await readiness.check()).toEqual({ ready: false, reason: "the model small failed: the GPU failed" });
  await pause(5);
  expect(await readiness.check()).toEqual({ ready: true });
});

test("a probe that is given up does not stop the batch", async () => {
  const { goOn } = hangingDevice();
  const readiness = readinessWith({});
  const signal = AbortSignal.timeout(20);
  await expect(readiness.check(signal)).rejects.toMatchObject({ name: "TimeoutError" });
  goOn();
  expect(await readiness.check()).toEqual({ ready: true });
});

describe("/readyz", () => {
  async function probe(handler: (request: Request) => Promise<Response>, path = "/readyz") {
    const response = await handler(new Request(`http://x${path}`));
    return [response.status, await response.json()];
  }
  const red = (message: string) => [
    503,
    { error: { message, type: "server_error", param: null, code: "not_ready" } },
  ];

  test("tells the state, and /healthz that the process lives", async () => {
    const { goOn } = hangingDevice();
    await using handler = createHandler({ small: model }, { readiness: { timeoutMs: 100 } });
    expect(await probe(handler)).toEqual(red("the device has not finished a batch within 100 ms"));
    expect(await probe(handler, "/healthz")).toEqual([200, { status: "ok" }]);
    goOn();
    await pause(50);
    expect(await probe(handler)).toEqual([200, { status: "ready" }]);
  });

  test("is red at once when the service drains, while everything else is answered", async () => {
    await using handler = createHandler({ small: model });
    expect(await probe(handler)).toEqual([200, { status: "ready" }]);
    handler.drain();
    expect(await probe(handler)).toEqual(red("the server is shutting down"));
    expect(await probe(handler, "/healthz")).toEqual([200, { status: "ok" }]);
  });
});
