import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EvaClip } from "eva-clip";
import { EnvironmentCommand } from "../../lib/cli/environment_flags";
import { servedNames } from "../../lib/cli/serve/served_names";
import smallModel from "../../scripts/package_consumer/small_model.json";
import { captureCli, type CliResult } from "../support/run_cli";

const use = ["--device", "cpu", "--threads", "1", "--port", "0"];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-serve-"));
  await using model = await EvaClip.create(smallModel, { device: "cpu", threads: 1, init: "fan_in" });
  await model.save(join(folder, "small"));
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => {
  // A process that a signal has stopped keeps listening until it ends.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.removeAllListeners(signal);
});

/** Runs `eva-clip serve`, calls `visit` with its URL, and stops it by a signal. */
async function whileServing(
  words: readonly string[],
  visit: (url: string) => Promise<void>,
): Promise<CliResult> {
  let hasEnded = false;
  const ending = captureCli("serve", ...words, ...use).finally(() => {
    hasEnded = true;
  });
  const { calls } = (process.stdout.write as unknown as jest.SpyInstance).mock;
  const written = () => calls.map(([text]) => String(text)).join("");
  while (!hasEnded && !written().includes("http:")) await new Promise((resolve) => setTimeout(resolve, 20));
  if (hasEnded) throw new Error(`it has ended: ${JSON.stringify(await ending)}`);
  try {
    await visit(/http:[^\s"]+/.exec(written())![0]);
  } finally {
    process.emit("SIGTERM", "SIGTERM");
  }
  return ending;
}

async function embed(url: string, model: string, headers: Record<string, string> = {}): Promise<Response> {
  const body = JSON.stringify({ model, input: "a cat", encoding_format: "float" });
  return fetch(`${url}/v1/embeddings`, {
    method: "POST",
    body,
    headers: { "content-type": "application/json", ...headers },
  });
}

test("serves models under their names until a signal, and logs requests", async () => {
  const path = join(folder, "small");
  const { code, out, err } = await whileServing([path, "--name", `other=${path}`], async (url) => {
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    await using model = await EvaClip.load(path, { device: "cpu", threads: 1 });
    const expected = Array.from(await model.encodeText("a cat"));
    for (const name of ["small", "other"]) {
      const { data } = (await (await embed(url, name)).json()) as { data: { embedding: number[] }[] };
      data[0]!.embedding.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5));
    }
  });
  expect(code).toBe(0);
  expect(out).toMatch(/^serving small, other at http:\/\/127\.0\.0\.1:\d+\n$/);
  expect(err).toContain(`${path}: f32 on cpu`);
  const lines = err
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as { path?: string });
  expect(lines.filter((line) => line.path === "/v1/embeddings").length).toBe(2);
});

test("flags and variables reach the handler", async () => {
  process.env.EVA_CLIP_API_KEY = "secret";
  process.env.EVA_CLIP_CORS = "https://a.example,https://b.example";
  try {
    const words = [join(folder, "small"), "--max-texts", "1", "--no-page", "--json", "--log-level", "silent"];
    const { out, err } = await whileServing(words, async (url) => {
      expect((await embed(url, "small")).status).toBe(401);
      const given = { authorization: "Bearer secret", origin: "https://b.example" };
      const response = await embed(url, "small", given);
      expect(response.status).toBe(200);
      expect(response.headers.get("access-control-allow-origin")).toBe("https://b.example");
      const models = await fetch(`${url}/v1/models`, { headers: given });
      expect(await models.json()).toMatchObject({ data: [{ limits: { max_texts: 1 } }] });
      expect((await fetch(`${url}/`, { headers: given })).status).toBe(404);
    });
    expect(JSON.parse(out)).toEqual({
      url: expect.stringMatching(/^http/),
      models: ["small"],
      pid: process.pid,
    });
    expect(err).not.toContain("secret");
  } finally {
    delete process.env.EVA_CLIP_API_KEY;
    delete process.env.EVA_CLIP_CORS;
  }
});

test("an address that other machines reach without a key is warned of", async () => {
  const words = [join(folder, "small"), "--host", "0.0.0.0", "--log-level", "warn"];
  const { err } = await whileServing(words, async () => undefined);
  expect(err).toContain("warning: anyone who reaches 0.0.0.0 can send requests");
});

test.each([
  [["serve"], 2, /missing model/],
  [["serve", "m", "--port", "70000"], 2, /It must be a whole number from 0 to 65535/],
  [["serve", "m", "--name", "x"], 2, /NAME=PATH/],
  [["serve", "m", "m"], 2, /two models are named m: name them with --name/],
  [["serve", "m", "--log-level", "loud"], 2, /Allowed choices are debug/],
] as const)("%j is refused", async (words, status, message) => {
  const { code, err } = await captureCli(...words);
  expect(code).toBe(status);
  expect(err).toMatch(message);
});

test("wrong hosts are named", async () => {
  const words = ["serve", join(folder, "small"), ...use];
  const { code, err } = await captureCli(...words, "--allow-image-hosts", "https://example.com");
  expect(code).toBe(2);
  expect(err).toMatch(/must be a host such as/);
  const elsewhere = await captureCli(...words, "--host", "192.0.2.1", "--api-key", "k");
  expect(elsewhere).toMatchObject({
    code: 1,
    err: expect.stringContaining("cannot listen at 192.0.2.1:0: the host is not an address of this machine"),
  });
});

test("models are called by their files, or as they were asked for", () => {
  const path = join(folder, "small");
  expect(servedNames([path, "EVA02-CLIP-B-16", "hf-hub:timm/model"], { name: [["own", "x"]] })).toEqual([
    ["small", path],
    ["EVA02-CLIP-B-16", "EVA02-CLIP-B-16"],
    ["timm/model", "hf-hub:timm/model"],
    ["own", "x"],
  ]);
  expect(servedNames([], { name: [["own", "x"]] })).toEqual([["own", "x"]]);
});

describe("variables", () => {
  const parse = (env: Record<string, string>, ...words: string[]) => {
    Object.assign(process.env, env);
    try {
      const command = new EnvironmentCommand()
        .option("--max-batch <n>", "", Number, 1)
        .option("--json", "", false)
        .option("--no-page", "");
      return command.parse(words, { from: "user" }).opts();
    } finally {
      for (const name of Object.keys(env)) delete process.env[name];
    }
  };

  test.each([
    [{}, [], { maxBatch: 1, json: false, page: true }],
    [
      { EVA_CLIP_MAX_BATCH: "7", EVA_CLIP_JSON: "1", EVA_CLIP_NO_PAGE: "true" },
      [],
      { maxBatch: 7, json: true, page: false },
    ],
    [{ EVA_CLIP_MAX_BATCH: "7" }, ["--max-batch", "8"], { maxBatch: 8, json: false, page: true }],
    [
      { EVA_CLIP_MAX_BATCH: "", EVA_CLIP_JSON: "0", EVA_CLIP_NO_PAGE: "false" },
      [],
      { maxBatch: 1, json: false, page: true },
    ],
  ])("%j with %j are %j", (env, words, expected) => {
    expect(parse(env, ...words)).toEqual(expected);
  });
});
