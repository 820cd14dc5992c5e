import { cp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { png, temporaryFolder, writeFiles } from "../data/sample_files";
import { captureCli } from "../support/run_cli";

const config = {
  embed_dim: 16,
  vision_cfg: { image_size: 16, layers: 1, width: 32, head_width: 16, patch_size: 8, eva_model_name: "tiny" },
  text_cfg: { context_length: 16, width: 8, heads: 1, layers: 1 },
};
const folder = temporaryFolder();
const path = (...names: string[]) => join(folder.path, ...names);

beforeAll(async () => {
  await writeFile(path("tiny.json"), JSON.stringify(config));
  for (let i = 0; i < 16; i++) {
    await writeFiles(path("pairs"), { [`${i}.png`]: await png(i, 20), [`${i}.txt`]: `number ${i}` });
  }
});

const train = (name: string, ...more: string[]) =>
  captureCli(
    ...["train", "--train-data", path("pairs"), "--model", path("tiny.json"), "--init", "fan_in"],
    ...["--batch-size", "4", "--lr", "2e-3", "--logs", path("logs"), "--name", name, "--device", "cpu"],
    ...["--threads", "1", "--json", ...more],
  );

/** Flags that may change when a run is resumed, and the settings that a warning then names. */
const REPORTED: Readonly<Record<string, readonly [value: string | undefined, setting: string]>>[] = [
  {
    "--train-data": ["moved", "trainData"],
    "--dataset-type": ["folder", "datasetType"],
    "--csv-img-key": ["picture", "manifest.imageKey"],
    "--csv-caption-key": ["words", "manifest.captionKey"],
    "--csv-separator": ["tab", "manifest.separator"],
    "--image-key": ["jpg", "webdataset.imageKey"],
    "--text-key": ["words", "webdataset.textKey"],
    "--json-text-key": ["words", "webdataset.jsonTextKey"],
    "--damaged-shards": ["skip", "webdataset.damagedShards"],
    "--shuffle-buffer": ["7", "webdataset.shuffleBuffer"],
    "--image-mean": ["0.5", "preprocessing.mean"],
    "--image-std": ["0.5", "preprocessing.std"],
    "--image-interpolation": ["bilinear", "preprocessing.interpolation"],
    "--image-resize-mode": ["squash", "preprocessing.resize_mode"],
    "--crop-scale": ["0.5,1", "cropScale"],
    "--text-bucket": ["128", "textBucket"],
    "--batch-size": ["5", "batchSize"],
    "--steps": ["12", "steps"],
    "--image-lr": ["1e-3", "learningRates.image"],
    "--text-lr": ["2e-3", "learningRates.text"],
    "--image-wd": ["0.3", "weightDecays.image"],
    "--text-wd": ["0.4", "weightDecays.text"],
    "--beta1": ["0.8", "beta1"],
    "--beta2": ["0.9", "beta2"],
    "--eps": ["1e-5", "eps"],
    "--grad-clip-norm": ["1", "clipNorm"],
    "--warmup": ["1", "warmupSteps"],
    "--lr-scheduler": ["const-cooldown", "schedule"],
    "--epochs-cooldown": ["1", "cooldownSteps"],
    "--force-patch-dropout": ["0.25", "patchDropout"],
    "--undropped-end": ["0.5", "undroppedEnd"],
    "--precision": ["bf16", "precision"],
  },
  {
    "--epochs": ["3", "steps"],
    "--dataset-resampled": [undefined, "resampled"],
    "--lr": ["1e-4", "learningRates.other"],
    "--wd": ["0.3", "weightDecays.text"],
    "--image-layer-decay": ["0.5", "learningRates.image"],
    "--text-layer-decay": ["0.5", "learningRates.text"],
    "--skip-scheduler": [undefined, "schedule"],
  },
  { "--layer-decay": ["0.5", "learningRates.image"] },
];
/** Flags that may not change, here or with other data. */
const REFUSED = [
  ...["--opt", "--seed", "--model", "--force-image-size", "--force-context-length", "--force-quick-gelu"],
  ...["--lock-image", "--lock-image-unlocked-groups", "--lock-text", "--lock-text-unlocked-layers"],
  "--train-num-samples",
  "--siglip",
];
/** Flags that change no step: initial weights, evaluations, files and speed. */
const FREE = [
  ...[
    "--init",
    "--pretrained",
    "--pretrained-image-path",
    "--pretrained-text-path",
    "--pretrained-activation",
  ],
  ...["--pretrained-ema", "--no-pretrained-ema", "--grad-checkpointing"],
  ...[
    "--skip-list",
    "--val-data",
    "--val-num-samples",
    "--val-frequency",
    "--imagenet-val",
    "--zeroshot-frequency",
  ],
  ...["--logs", "--name", "--resume", "--restart-data", "--save-frequency", "--save-steps", "--keep-last"],
  ...[
    "--decode-concurrency",
    "--max-skips",
    "--device",
    "--threads",
    "--log-every-n-steps",
    "--json",
    "--help",
  ],
];

/** `value` as a path, or once per channel, where the flag takes those. */
function valuesOf(flag: string, value: string): string[] {
  if (flag === "--train-data") return [path(value)];
  return ["--image-mean", "--image-std"].includes(flag) ? [value, value, value] : [value];
}

test("a resumed run reports every flag that changes its steps", async () => {
  await cp(path("pairs"), path("moved"), { recursive: true });
  expect(await train("told", "--epochs", "1", "--image-lr", "2e-3", "--text-lr", "1e-3")).toMatchObject({
    code: 0,
  });
  for (const flags of REPORTED) {
    await cp(path("logs", "told"), path("logs", "told-again"), { recursive: true });
    const given = Object.entries(flags).flatMap(([flag, [value]]) =>
      value === undefined ? [flag] : [flag, ...valuesOf(flag, value)],
    );
    const { code, err } = await train("told-again", "--resume", "latest", "--epochs", "1", ...given);
    expect({ code, err }).toMatchObject({ code: 0 });
    for (const [, setting] of Object.values(flags)) expect(err).toContain(`warning: ${setting} was `);
    await rm(path("logs", "told-again"), { recursive: true });
  }
});

test("every flag is reported, refused or without effect on steps", async () => {
  const { out } = await captureCli("train", "--help");
  const all = [...out.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, flag]) => flag);
  const known = [...REPORTED.flatMap((flags) => Object.keys(flags)), ...REFUSED, ...FREE, "--lamb-variant"];
  expect(known.sort()).toEqual(all.sort());
});

test("other programs' names of flags are understood, or refused with ours where they mean something else", async () => {
  const { code, err } = await train("unused", "--visual-lr=-1", "--json");
  expect(code).toBe(2);
  expect(err).toContain("--image-lr");
  for (const [flag, ours] of [
    ["--workers", "--decode-concurrency <n>"],
    ["--pretrained-image", "--pretrained-image-path <path>"],
    ["--pretrained-text", "--pretrained-text-path <path>"],
  ] as const) {
    const refused = await train("unused", flag, "4");
    expect(refused.code).toBe(2);
    expect(refused.err).toContain(`error: ${flag} `);
    expect(refused.err).toContain(ours);
    expect(JSON.parse(refused.out)).toMatchObject({ error: { code: "ERR_EVACLIP_INVALID_ARGUMENT" } });
  }
});

test("help says where defaults differ from open_clip's", async () => {
  const { out } = await captureCli("train", "--help");
  const help = out.replace(/\s+/g, " ");
  expect(help).toContain("open_clip's is 0.2");
  expect(help).toContain("open_clip's is 10000");
  expect(help).toContain("default: bf16 on CUDA, f32 on the CPU");
});

test("help says which options are required", async () => {
  const { out } = await captureCli("train", "--help");
  expect(out).toMatch(/--train-data <path>\s+\(required\)/);
  expect(out).toMatch(/--model <name\|file>\s+\(required\)/);
});
