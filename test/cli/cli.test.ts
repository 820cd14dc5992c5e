import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { captureCli as run } from "../support/run_cli";

// The words of the tokenizer are CLIP's, so its whole vocabulary is there; everything else is as small as it can be.
const config = {
  embed_dim: 16,
  vision_cfg: { image_size: 16, layers: 1, width: 32, head_width: 16, patch_size: 8, eva_model_name: "tiny" },
  text_cfg: { context_length: 16, width: 8, heads: 1, layers: 1 },
};
const COLOURS = { red: [220, 20, 20], green: [20, 220, 20], blue: [20, 20, 220], white: [240, 240, 240] };

let folder: string;
const path = (...names: string[]) => join(folder, ...names);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-cli-"));
  await writeFile(path("tiny.json"), JSON.stringify(config));
  const lines = ["filepath,title"];
  for (const [name, [r, g, b]] of Object.entries(COLOURS)) {
    await mkdir(path("classes", name), { recursive: true });
    for (let i = 0; i < 4; i++) {
      const background = { r: r!, g: g!, b: b! - 5 * i };
      const image = sharp({ create: { width: 20, height: 18, channels: 3, background } });
      await image.png().toFile(path("classes", name, `${i}.png`));
      lines.push(`classes/${name}/${i}.png,a ${name} square`);
    }
  }
  await writeFile(path("data.csv"), `${lines.join("\n")}\n`);
});
afterAll(() => rm(folder, { recursive: true }));

const trainWords = (name: string, ...more: string[]) => [
  ...["train", "--train-data", path("data.csv"), "--model", path("tiny.json"), "--init", "fan_in"],
  ...["--batch-size", "8", "--lr", "2e-3", "--logs", path("logs"), "--name", name, "--device", "cpu"],
  ...["--threads", "1", "--json", ...more],
];

test("trains, resumes, evaluates, classifies, encodes and inspects", async () => {
  const first = await run(...trainWords("all", "--steps", "4", "--val-data", path("data.csv")));
  expect(first).toMatchObject({ code: 0 });
  expect(JSON.parse(first.out)).toMatchObject({ reason: "finished", step: 4, samplesSeen: 32 });
  expect(first.err).toContain("image_to_text_R@1");
  expect(first.err).toContain("retrieval among 16 images");
  expect((await readdir(path("logs", "all"))).sort()).toEqual([
    "checkpoints",
    "metrics.jsonl",
    "params.json",
  ]);

  const resumed = await run(...trainWords("all", "--steps", "6", "--resume", "latest"));
  expect(JSON.parse(resumed.out)).toMatchObject({ step: 6, samplesSeen: 48 });
  const metrics = (await readFile(path("logs", "all", "metrics.jsonl"), "utf8")).trim().split("\n");
  const steps = metrics.map((line) => JSON.parse(line) as { type: string; step: number });
  expect(steps.filter(({ type }) => type === "step").map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);

  const model = path("logs", "all", "checkpoints");
  const use = ["--device", "cpu", "--threads", "1"];
  const evaluated = await run(
    "evaluate",
    model,
    "--imagenet-val",
    path("classes"),
    "--templates",
    "simple",
    ...use,
  );
  expect(evaluated.code).toBe(0);
  expect(evaluated.out).toMatch(
    /zero-shot on 16 images: top-1 .*protocol: zero-shot classification, 4 classes, 7 prompts/s,
  );

  const image = path("classes", "red", "0.png");
  const classified = await run("classify", model, image, "--json", ...use, "--labels", "red", "green");
  const { results } = JSON.parse(classified.out) as {
    results: { image: string; labels: { label: string }[] }[];
  };
  expect(results).toHaveLength(1);
  expect(results[0]!.labels.map(({ label }) => label).sort()).toEqual(["green", "red"]);

  const byFlag = await run("classify", image, "--model", model, "--json", ...use, "--labels", "red", "green");
  expect(JSON.parse(byFlag.out)).toEqual(JSON.parse(classified.out));

  const encoded = await run("encode", model, image, "--json", ...use, "--text", "a red square");
  const { embeddings } = JSON.parse(encoded.out) as { embeddings: { kind: string; embedding: number[] }[] };
  expect(embeddings.map(({ kind }) => kind)).toEqual(["image", "text"]);
  for (const { embedding } of embeddings) expect(Math.hypot(...embedding)).toBeCloseTo(1, 5);

  const inspected = await run("inspect", model, "--json");
  expect(JSON.parse(inspected.out)).toMatchObject({ step: 6, config: { embed_dim: 16 } });
});

test("a published model is inspected by its name", async () => {
  const { out } = await run("inspect", "EVA02-CLIP-B-16", "--json");
  expect(JSON.parse(out)).toMatchObject({ name: "EVA02-CLIP-B-16", parameters: 149_691_137 });
});

test("LAMB, groups by tower, bf16 and a cooldown", async () => {
  const flags = ["--opt", "lamb", "--lamb-variant", "deepspeed", "--visual-lr", "1e-3", "--text-ld", "0.75"];
  const more = ["--precision", "amp_bf16", "--lr-scheduler", "const-cooldown", "--grad-clip-norm", "5"];
  const length = ["--steps", "3", "--warmup", "1", "--epochs-cooldown", "1"];
  const { code, out } = await run(...trainWords("lamb", ...flags, ...more, ...length));
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ step: 3 });
});

describe("errors", () => {
  test.each([
    ["an unknown option", ["doctor", "--fast"], 2, "unknown option '--fast'"],
    ["an unknown command", ["trian"], 2, "Did you mean train?"],
    ["a missing option", ["train"], 2, "required option '--train-data"],
    [
      "a number that is none",
      ["encode", "m", "--batch-size", "many"],
      2,
      "It must be a whole number from 1 to",
    ],
    ["a choice that is none", ["encode", "m", "--device", "tpu"], 2, "Allowed choices are auto, cpu, cuda"],
    ["a type that is none", ["encode", "m", "--precision", "fp8"], 2, "It must be one of f32"],
    ["nothing to encode", ["encode", "m"], 2, "nothing to encode"],
    ["nothing to classify", ["classify", "--model", "m"], 2, "nothing to classify"],
    ["no model", ["classify", "--labels", "red"], 2, "missing model: pass its path first or with --model"],
    ["a model and more to evaluate", ["evaluate", "m", "n"], 2, "evaluate takes one model; unexpected: n"],
    ["nothing to evaluate on", ["evaluate", "m"], 2, "nothing to evaluate on"],
    ["an unknown model", ["inspect", "EVA-99"], 2, "unknown model EVA-99"],
    ["a missing model", ["encode", "./nowhere", "--text", "x"], 1, "cannot open ./nowhere"],
    [
      "neither a file nor a model",
      ["encode", "EVA02-B-61", "--text", "x"],
      2,
      "EVA02-B-61 is neither a file nor a published model: unknown model EVA02-B-61; did you mean EVA02-CLIP-B-16",
    ],
  ])("%s", async (_, words, code, message) => {
    const found = await run(...words);
    expect(found.code).toBe(code);
    expect(found.err).toContain(message);
    expect(found.out).toBe("");

    const json = await run(...words, "--json");
    expect(json.code).toBe(code);
    const document = JSON.parse(json.out) as { error: { code: string; message: string } };
    expect(document.error.code).toMatch(/^ERR_EVACLIP_/);
    expect(document.error.message.length).toBeGreaterThan(5);
  });

  test("--json gives JSON where the command itself is missing", async () => {
    const { code, out } = await run("--json");
    expect(code).toBe(2);
    expect(JSON.parse(out)).toMatchObject({ error: { code: "ERR_EVACLIP_INVALID_ARGUMENT" } });
  });

  test("EVA_CLIP_DEVICE is named where its value is wrong, and empty means unset", async () => {
    const before = process.env.EVA_CLIP_DEVICE;
    try {
      process.env.EVA_CLIP_DEVICE = "bogus";
      const wrong = await run("encode", "m", "--text", "x", "--json");
      expect(wrong.code).toBe(2);
      expect(wrong.out).toContain("EVA_CLIP_DEVICE");
      process.env.EVA_CLIP_DEVICE = "";
      expect((await run("encode", "nowhere", "--text", "x")).err).toContain("nowhere");
    } finally {
      if (before === undefined) delete process.env.EVA_CLIP_DEVICE;
      else process.env.EVA_CLIP_DEVICE = before;
    }
  });

  test("no device", async () => {
    const words = [
      "train",
      "--train-data",
      path("data.csv"),
      "--model",
      path("tiny.json"),
      "--device",
      "cuda",
      "--json",
    ];
    const { code, out } = await run(...words);
    expect(code).toBe(3);
    expect(JSON.parse(out)).toMatchObject({ error: { code: "ERR_EVACLIP_NO_DEVICE" } });
  });

  test("weights, moments and gradients are added up before the first is allocated", async () => {
    const words = trainWords("too-large").map((word) => (word === path("tiny.json") ? "EVA-CLIP-18B" : word));
    const { code, out } = await run(...words);
    expect(code).toBe(1);
    const { error } = JSON.parse(out) as {
      error: { code: string; details: { needed: string; free: string } };
    };
    expect(error.code).toBe("ERR_EVACLIP_OUT_OF_MEMORY");
    expect(Number(error.details.needed)).toBeGreaterThan(4 * 4 * 17.5e9);
    expect(Number(error.details.free)).toBeLessThan(Number(error.details.needed));
  });

  test("data that are not there, a batch that is too large, latest without a name", async () => {
    const missing = trainWords("missing").map((word) => (word === path("data.csv") ? path("no.csv") : word));
    expect(await run(...missing)).toMatchObject({ code: 1, err: expect.stringContaining("no.csv") });
    const large = await run(...trainWords("large", "--batch-size", "64"));
    expect(large).toMatchObject({ code: 2, err: expect.stringContaining("more than the 16 samples") });
    const nameless = trainWords("x", "--resume", "latest").filter(
      (word) => word !== "--name" && word !== "x",
    );
    expect(await run(...nameless)).toMatchObject({ code: 2, err: expect.stringContaining("--name") });
  });
});

test("help goes to standard output and is no error", async () => {
  const { code, out } = await run("train", "--help");
  expect(code).toBe(0);
  for (const flag of [
    "--csv-img-key",
    "--grad-clip-norm",
    "--force-patch-dropout",
    "--image-layer-decay",
    "--save-frequency",
  ]) {
    expect(out).toContain(flag);
  }
});

test("SIGINT saves a checkpoint and exits with 130", async () => {
  const words = trainWords("interrupted", "--steps", "100000", "--log-every-n-steps", "1");
  const main = join(__dirname, "..", "..", "lib", "cli", "main.ts");
  const child = spawn(process.execPath, ["-r", "ts-node/register/transpile-only", main, ...words], {
    cwd: join(__dirname, "..", ".."),
  });
  let out = "";
  child.stdout.on("data", (text) => (out += text));
  let interrupted = false;
  child.stderr.on("data", (text) => {
    if (interrupted || !String(text).includes("step 2/")) return;
    interrupted = true;
    child.kill("SIGINT");
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  expect(code).toBe(130);
  const result = JSON.parse(out) as { reason: string; checkpoint: string };
  expect(result.reason).toBe("stopped");
  expect(await readdir(result.checkpoint)).toContain("model.safetensors");
});
