import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { writeWeights } from "../../lib/weights/write_weights";
import { Device } from "../../lib/device";
import { openSafetensors, writeSafetensors } from "../../lib/io/safetensors";
import { readFloat32 } from "../../lib/io/tensor_source";
import { parseClipConfig } from "../../lib/models/clip_config";
import { ClipModel } from "../../lib/models/clip_model";
import type { Parameter } from "../../lib/parameter";
import { initializeModel } from "../../lib/weights/initialize";
import type { Initialization } from "../../lib/weights/pretrained";
import { captureCli } from "../support/run_cli";

// The words of the tokenizer are CLIP's, so its whole vocabulary is there; everything else is as small as it can be.
const text = { context_length: 16, width: 8, heads: 1, layers: 1 };
const eva = { image_size: 16, layers: 2, width: 32, head_width: 16, patch_size: 8, eva_model_name: "tiny" };
const config = { embed_dim: 16, vision_cfg: eva, text_cfg: text };
const plain = {
  embed_dim: 16,
  quick_gelu: true,
  vision_cfg: { image_size: 16, layers: 1, width: 32, head_width: 16, patch_size: 8 },
  text_cfg: text,
};

let folder: string;
const path = (...names: string[]) => join(folder, ...names);

async function modelOf(device: Device, json: unknown): Promise<ClipModel> {
  const model = new ClipModel(parseClipConfig(json), { init: "fan_in" });
  await initializeModel(model, device, { seed: 9 });
  return model;
}

/** EVA's image tower as masked-image modelling leaves it. */
async function writeMimTower(model: ClipModel): Promise<void> {
  const tower = model.image.parameters().filter(({ name }) => !name.startsWith("visual.head"));
  const tensors = tower.map((parameter: Parameter) => ({
    name: parameter.name.slice("visual.".length),
    shape: parameter.shape,
    dtype: "F32" as const,
    data: async () => (await parameter.read()).data as Float32Array,
  }));
  await writeSafetensors(path("mim.safetensors"), tensors);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-start-"));
  await writeFile(path("model.json"), JSON.stringify(config));
  const lines = ["filepath,title"];
  for (let i = 0; i < 8; i++) {
    const background = { r: 30 * i, g: 200, b: 250 - 30 * i };
    await sharp({ create: { width: 20, height: 18, channels: 3, background } })
      .png()
      .toFile(path(`${i}.png`));
    lines.push(`${i}.png,picture number ${i}`);
  }
  await writeFile(path("data.csv"), `${lines.join("\n")}\n`);
  await using device = await Device.open("cpu", { threads: 1 });
  const [source, openai] = [await modelOf(device, config), await modelOf(device, plain)];
  await writeMimTower(source);
  await writeWeights(path("openai"), openai);
  for (const model of [source, openai]) model.dispose();
});
afterAll(() => rm(folder, { recursive: true }));

const train = (name: string, ...more: string[]) =>
  captureCli(
    ...["train", "--train-data", path("data.csv"), "--model", path("model.json"), "--init", "fan_in"],
    ...["--batch-size", "4", "--steps", "2", "--logs", path("logs"), "--name", name, "--device", "cpu"],
    ...["--threads", "1", "--json", ...more],
  );

const towers = () => [
  "--pretrained-image-path",
  path("mim.safetensors"),
  "--pretrained-text-path",
  path("openai"),
];

async function tensorIn(file: string, name: string): Promise<Float32Array> {
  await using source = await openSafetensors(file);
  return readFloat32(source.tensors.get(name)!);
}

test("a run from two towers, one of them locked: every parameter's origin is printed and kept", async () => {
  const { code, err } = await train(
    "towers",
    ...towers(),
    ...["--pretrained-activation", "any", "--force-image-size", "32", "--force-context-length", "12"],
    "--lock-image",
    ...["--lock-image-unlocked-groups", "1"],
  );
  expect(code).toBe(0);
  expect(err).toMatch(/^pretrained image +.*mim\.safetensors \(eva_mim\)$/m);
  expect(err).toMatch(/^pretrained text +.*model\.safetensors \(openai\)$/m);
  expect(err).toMatch(/^visual\.pos_embed +resized pos_embed of .*: grid 2 × 2 → 4 × 4, bicubic$/m);
  expect(err).toMatch(/^visual\.blocks\.0-1\.mlp\.fc1\.weight +loaded blocks\.0-1\.mlp\.fc1\.weight of /m);
  expect(err).toMatch(/^text\.positional_embedding +resized .*context 16 → 12/m);
  expect(err).toMatch(/^logit_scale +initial: constant 2\.65926$/m);
  expect(err).toMatch(/parameters \(.* of them trained\)/);

  const report = JSON.parse(
    await readFile(path("logs", "towers", "initialization.json"), "utf8"),
  ) as Initialization;
  const checkpoint = path("logs", "towers", "checkpoints", "step-0000002", "model.safetensors");
  await using trained = await openSafetensors(checkpoint);
  expect(report.parameters.map(({ name }) => name).sort()).toEqual([...trained.tensors.keys()].sort());
  expect(report.parameters.filter(({ origin }) => origin === "initial").map(({ name }) => name)).toEqual([
    "logit_scale",
    "visual.head.weight",
    "visual.head.bias",
    "text.text_projection",
  ]);
  const key = "blocks.1.mlp.fc2.weight";
  expect(await tensorIn(checkpoint, `visual.${key}`)).toEqual(await tensorIn(path("mim.safetensors"), key));
});

test("weights of OpenAI in a model with GELU are an error until it is stated, or the model takes QuickGELU", async () => {
  const refused = await train("activation", ...towers());
  expect(refused.code).toBe(1);
  expect(refused.err).toMatch(/trained with QuickGELU .*config\.json says so.*the model computes GELU/);
  expect(await train("activation", ...towers(), "--force-quick-gelu")).toMatchObject({ code: 0 });
});

test("a list of one's own replaces the usual one", async () => {
  const words = [
    "--pretrained",
    path("openai"),
    "--model",
    path("plain.json"),
    "--skip-list",
    "ln_final.bias",
  ];
  await writeFile(path("plain.json"), JSON.stringify(plain));
  expect(await train("skip", ...words)).toMatchObject({ code: 0 });
  const file = path("logs", "skip", "initialization.json");
  const { parameters, sources } = JSON.parse(await readFile(file, "utf8")) as Initialization;
  expect(parameters.filter(({ origin }) => origin !== "loaded")).toEqual([
    { name: "ln_final.bias", origin: "initial", note: "constant 0" },
  ]);
  expect(sources).toMatchObject([{ towers: "both", layout: "openai", skip: ["ln_final.bias"] }]);
});

test("a resumed run keeps the record of its start and takes the checkpoint's weights", async () => {
  const words = [
    ...towers(),
    "--pretrained-activation",
    "any",
    "--lock-text",
    "--lock-text-unlocked-layers",
    "1",
  ];
  expect(await train("resumed", ...words)).toMatchObject({ code: 0 });
  const file = path("logs", "resumed", "initialization.json");
  const { mtimeMs } = await stat(file);
  const again = await train("resumed", ...words, "--steps", "4", "--resume", "latest");
  expect(again).toMatchObject({ code: 0, err: expect.not.stringContaining("pretrained image") });
  expect(JSON.parse(again.out)).toMatchObject({ step: 4 });
  expect((await stat(file)).mtimeMs).toBe(mtimeMs);
});

test.each([
  [
    "groups of a tower that is not locked",
    ["--lock-image-unlocked-groups", "2"],
    /--lock-image-unlocked-groups has no effect without --lock-image/,
  ],
  ["layers of one", ["--lock-text-unlocked-layers", "2"], /has no effect without --lock-text/],
  [
    "a list of what starts fresh without weights",
    ["--skip-list", "head.weight"],
    /--skip-list has no effect without --pretrained, --pretrained-image-path or --pretrained-text-path/,
  ],
  [
    "their activation without weights",
    ["--pretrained-activation", "any"],
    /--pretrained-activation has no effect without --pretrained/,
  ],
  [
    "which of two weights without weights",
    ["--no-pretrained-ema"],
    /--pretrained-ema has no effect without --pretrained/,
  ],
  [
    "an activation that is none",
    ["--pretrained-activation", "relu"],
    /Allowed choices are gelu, quick_gelu, any/,
  ],
  ["a grid that does not fit", ["--force-image-size", "20"], /image_size: must be a multiple of patch_size/],
])("%s", async (_, words, message) => {
  const { code, err } = await train("wrong", ...words);
  expect(code).not.toBe(0);
  expect(err).toMatch(message);
});

test("a moving average that is not there is not replaced by other weights", async () => {
  const { code, err } = await train("no-average", ...towers(), "--pretrained-ema");
  expect(code).toBe(1);
  expect(err).toMatch(/mim\.safetensors has no moving average of the weights/);
});
