import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { EvaClip } from "eva-clip";
import { captureCli as run } from "../support/run_cli";

// The tokenizer's vocabulary is CLIP's; everything else is as small as it can be.
const config = {
  embed_dim: 16,
  vision_cfg: { image_size: 16, layers: 1, width: 32, head_width: 16, patch_size: 8, eva_model_name: "tiny" },
  text_cfg: { context_length: 16, width: 8, heads: 1, layers: 1 },
};
const use = ["--device", "cpu", "--threads", "1"];

let folder: string;
const path = (...names: string[]) => join(folder, ...names);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-models-"));
  await using model = await EvaClip.create(config, { device: "cpu", threads: 1, init: "fan_in" });
  await model.save(path("whole"));
  const weights = model.model.stateDict().get("visual.patch_embed.proj.weight")!;
  await weights.write(new Float32Array(weights.size).fill(Number.NaN));
  await model.save(path("nan"));
  const lines = ["filepath,title"];
  for (const [i, name] of ["red", "green"].entries()) {
    await mkdir(path("classes", name), { recursive: true });
    const background = { r: 200 * i, g: 200 * (1 - i), b: 20 };
    for (const file of ["a.png", "b.png"]) {
      await sharp({ create: { width: 20, height: 18, channels: 3, background } })
        .png()
        .toFile(path("classes", name, file));
      lines.push(`classes/${name}/${file},a ${name} square`);
    }
  }
  await writeFile(path("data.csv"), `${lines.join("\n")}\n`);
});
afterAll(() => rm(folder, { recursive: true }));

describe("a model whose weights are NaN", () => {
  const picture = () => path("classes", "red", "a.png");

  test.each<[string, () => string[]]>([
    ["evaluate --imagenet-val", () => ["evaluate", path("nan"), "--imagenet-val", path("classes")]],
    ["evaluate --val-data", () => ["evaluate", path("nan"), "--val-data", path("data.csv")]],
    ["classify", () => ["classify", path("nan"), picture(), "--labels", "red", "green"]],
    ["encode", () => ["encode", path("nan"), picture()]],
  ])("%s ends with an error and no score", async (_, words) => {
    const templates = words().includes("--imagenet-val") ? ["--templates", "simple"] : [];
    const { code, out, err } = await run(...words(), ...templates, ...use, "--json");
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ error: { code: "ERR_EVACLIP_NOT_FINITE" } });
    expect(out + err).not.toContain("100.00 %");
  });

  test("an evaluation names the sample", async () => {
    const words = ["evaluate", path("nan"), "--val-data", path("data.csv")];
    const { err } = await run(...words, ...use);
    expect(err).toMatch(/data\.csv:2: the embedding of image 0 holds NaN/);
  });
});

test("samples that could not be used are told by reason", async () => {
  await writeFile(path("classes", "red", "c.png"), "no image");
  const words = ["evaluate", path("whole"), "--imagenet-val", path("classes"), "--templates", "simple"];
  const { code, out } = await run(...words, ...use);
  await rm(path("classes", "red", "c.png"));
  expect(code).toBe(0);
  expect(out).toContain("zero-shot on 4 images");
  expect(out).toContain("samples that could not be used: 1 undecodable_image");
});

test("images that a flag took are pointed at", async () => {
  const picture = path("classes", "red", "a.png");
  const swallowed = await run("classify", path("whole"), ...use, "--labels", "red", "green", picture);
  expect(swallowed.code).toBe(2);
  expect(swallowed.err).toContain(
    `--labels took ${picture} as a label; give images before --labels, or after --`,
  );
  const followed = await run("classify", path("whole"), ...use, "--labels", "red", "green", "--", picture);
  expect(followed.code).toBe(0);
  expect(followed.out).toContain("red");
  const encoded = await run("encode", path("whole"), ...use, "--text", "a square", picture);
  expect(encoded.err).toContain(`--text took ${picture} as text`);
});

describe("text files", () => {
  const picture = () => path("classes", "red", "a.png");
  const classify = () => ["classify", path("whole"), picture()];
  const evaluate = () => ["evaluate", path("whole"), "--imagenet-val", path("classes")];

  test.each<[string, string | Uint8Array, () => string[], string]>([
    ["--labels-file", "\n \n", classify, "contains no line of text"],
    ["--labels-file", Buffer.from("caf\xe9", "latin1"), classify, "is not UTF-8"],
    ["--templates", "", () => [...classify(), "--labels", "a"], "contains no line of text"],
    ["--templates", "a {}\na photo", () => [...classify(), "--labels", "a"], 'needs {} .* found "a photo"'],
    ["--templates", "a photo", evaluate, 'needs {} .* found "a photo"'],
    ["--classnames", "", evaluate, "contains no line of text"],
    ["--classnames", "one\ntwo\n\nthree", evaluate, "has 3 lines of text, but there are 2 classes"],
  ])("%s of %j", async (flag, content, words, message) => {
    await writeFile(path("lines"), content);
    const { code, err } = await run(...words(), ...use, flag, path("lines"));
    expect(code).toBe(2);
    expect(err).toMatch(new RegExp(`error: ${flag}: .*${message}`));
    // What the command was given is looked at before the model is.
    expect(err).not.toContain("f32 on cpu");
  });

  test.each<[string, () => string[]]>([
    ["--labels-file", classify],
    ["--templates", () => [...classify(), "--labels", "a"]],
    ["--classnames", evaluate],
  ])("%s that is not there", async (flag, words) => {
    const { code, err } = await run(...words(), ...use, flag, path("nowhere"));
    expect(code).toBe(1);
    expect(err).toMatch(new RegExp(`error: ${flag}: cannot read .*nowhere: ENOENT`));
  });
});

test.each(["https://example.com/a.png", "s3://bucket/a.png"])("%s is no image to read", async (url) => {
  for (const words of [
    ["encode", "m", url],
    ["classify", "m", url, "--labels", "a"],
  ]) {
    const { code, err } = await run(...words);
    expect(code).toBe(2);
    expect(err).toContain(`${url} is a URL; images are read from local files: download it first`);
  }
});

describe("evaluate", () => {
  test.each<[string, string[], string | undefined]>([
    ["--classnames is for --imagenet-val, which is not given", ["--classnames", "names"], "data.csv"],
    ["--templates is for --imagenet-val, which is not given", ["--templates", "simple"], "data.csv"],
    ["--dataset-type is for --val-data, which is not given", ["--dataset-type", "csv"], undefined],
    ["--csv-separator is for --val-data, which is not given", ["--csv-separator", "tab"], undefined],
    ["--csv-img-key is for manifests", ["--csv-img-key", "a"], "classes"],
    ["--damaged-shards is for shards", ["--damaged-shards", "skip"], "data.csv"],
    ["--text-key is for shards", ["--text-key", "a", "--dataset-type", "folder"], "x.tar"],
    ["unknown option '--shuffle-buffer'", ["--shuffle-buffer", "8"], "data.csv"],
  ])("%s", async (message, flags, valData) => {
    const on = valData === undefined ? ["--imagenet-val", path("classes")] : ["--val-data", path(valData)];
    const { code, err } = await run("evaluate", path("whole"), ...use, ...on, ...flags);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });

  test("takes the flags of its data", async () => {
    const on = ["--val-data", path("data.csv"), "--csv-img-key", "filepath", "--dataset-type", "csv"];
    expect(await run("evaluate", path("whole"), ...use, ...on)).toMatchObject({ code: 0 });
  });

  test("says what is expected of a folder of classes", async () => {
    const { err } = await run("evaluate", path("whole"), ...use, "--imagenet-val", path("classes", "red"));
    expect(err).toContain("red must contain one folder of images per class, found no folder");
  });
});
