import { EvaClip } from "eva-clip";
import { createHandler } from "../../lib/serve/handler";
import smallModel from "../../scripts/package_consumer/small_model.json";

let model: EvaClip;
beforeAll(async () => {
  model = await EvaClip.create(smallModel, { device: "cpu", threads: 1, init: "fan_in" });
});
afterAll(() => model.dispose());

type Handler = ReturnType<typeof createHandler>;

function embed(handler: Handler, body: unknown): Promise<Response> {
  const headers = { "content-type": "application/json" };
  return handler(
    new Request("http://x/v1/embeddings", { method: "POST", headers, body: JSON.stringify(body) }),
  );
}

/** The samples of /metrics by name and labels. */
async function metricsOf(handler: Handler): Promise<Record<string, number>> {
  const response = await handler(new Request("http://x/metrics"));
  expect(response.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
  const lines = (await response.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(
    lines
      .map((line) => /^(\S+(?: \S+)*) (\S+)$/.exec(line)!.slice(1, 3))
      .map(([name, value]) => [name, Number(value)]),
  );
}

test("requests, batches, samples and refusals are counted, with bounded labels", async () => {
  const handler = createHandler({ small: model });
  expect((await embed(handler, { model: "small", input: ["a cat", "a dog"] })).status).toBe(200);
  expect((await embed(handler, { model: "small", input: 7 })).status).toBe(400);
  expect((await embed(handler, { model: "other", input: "a" })).status).toBe(404);
  for (const path of ["/secret/1", "/secret/2"]) await handler(new Request(`http://x${path}`));
  const metrics = await metricsOf(handler);
  const route = "/v1/embeddings";
  expect(metrics).toMatchObject({
    [`eva_clip_request_count{method="POST",route="${route}",status="200"}`]: 1,
    [`eva_clip_request_count{method="POST",route="${route}",status="400"}`]: 1,
    'eva_clip_request_count{method="GET",route="none",status="404"}': 2,
    [`eva_clip_request_duration_count{route="${route}"}`]: 3,
    'eva_clip_texts_total{model="small"}': 2,
    'eva_clip_queue_size{model="small"}': 0,
    'eva_clip_rejected_total{reason="not_found"}': 2,
    'eva_clip_rejected_total{reason="model_not_found"}': 1,
  });
  const labels = 'model="small",kind="text"';
  expect(metrics[`eva_clip_batch_size_sum{${labels}}`]).toBe(2);
  expect(metrics[`eva_clip_inference_duration_sum{${labels}}`]).toBeGreaterThan(0);
  expect(metrics[`eva_clip_queue_duration_count{${labels}}`]).toBe(
    metrics[`eva_clip_batch_size_count{${labels}}`],
  );
  expect(metrics['eva_clip_device_memory_bytes{model="small",use="parameters"}']).toBeGreaterThan(1000);
  expect(Object.keys(metrics).join()).not.toContain("secret");
  await handler.dispose();
});

test("those of the process and its event loop are among them, for several handlers of one process, too", async () => {
  const handlers = [createHandler({ small: model }), createHandler({ small: model })];
  for (const handler of handlers) {
    const metrics = await metricsOf(handler);
    expect(metrics.process_resident_memory_bytes).toBeGreaterThan(1e6);
    expect(metrics).toHaveProperty("nodejs_eventloop_lag_p99_seconds");
    expect(metrics).not.toHaveProperty(['eva_clip_texts_total{model="small"}']);
    await handler.dispose();
  }
});

test("a device that hangs does not hold them up", async () => {
  const spy = jest.spyOn(model, "memoryInfo").mockReturnValue(new Promise(() => undefined));
  const handler = createHandler({ small: model });
  const metrics = await metricsOf(handler);
  expect(metrics['eva_clip_queue_size{model="small"}']).toBe(0);
  expect(metrics).not.toHaveProperty(['eva_clip_device_memory_bytes{model="small",use="parameters"}']);
  spy.mockRestore();
  await handler.dispose();
});
