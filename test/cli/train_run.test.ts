import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { captureCli } from "../support/run_cli";

const config = {
  embed_dim: 16,
  vision_cfg: { image_size: 16, layers: 1, width: 32, head_width: 16, patch_size: 8, eva_model_name: "tiny" },
  text_cfg: { context_length: 16, width: 8, heads: 1, layers: 1 },
};

let folder: string;
const path = (...names: string[]) => join(folder, ...names);
const picture = (shade: number) =>
  sharp({ create: { width: 20, height: 18, channels: 3, background: { r: shade, g: 90, b: 20 } } })
    .png()
    .toBuffer();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-train-run-"));
  await writeFile(path("tiny.json"), JSON.stringify(config));
  for (const name of ["pairs", "uncaptioned", "classes/a", "broken/a"])
    await mkdir(path(name), { recursive: true });
  for (let i = 0; i < 16; i++) {
    const png = await picture(10 * i);
    await writeFile(path("pairs", `${i}.png`), png);
    await writeFile(path("pairs", `${i}.txt`), `shade ${i}`);
    await writeFile(path("uncaptioned", `${i}.png`), png);
    await writeFile(path("classes", "a", `${i}.png`), png);
    await writeFile(path("broken", "a", `${i}.png`), png.subarray(0, 60));
  }
  await writeFile(path("shard.tar"), Buffer.concat([...(await members(16)), Buffer.alloc(1024)]));
});
afterAll(() => rm(folder, { recursive: true }));

/** A tar archive's members: an image and a caption for each sample (POSIX ustar). */
async function members(samples: number): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  for (let i = 0; i < samples; i++) {
    for (const [name, data] of [
      [`${i}.png`, await picture(i)],
      [`${i}.txt`, Buffer.from(`shade ${i}`)],
    ] as const) {
      const header = Buffer.alloc(512);
      header.write(name, 0);
      header.write("0000644\0", 100);
      header.write(`${data.length.toString(8).padStart(11, "0")}\0`, 124);
      header.write("00000000000\0        0", 136);
      header.write("ustar\x0000", 257);
      const sum = header.reduce((total, byte) => total + byte, 0);
      header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
      parts.push(header, data, Buffer.alloc((512 - (data.length % 512)) % 512));
    }
  }
  return parts;
}

const words = (name: string, ...more: string[]) => [
  ...["train", "--train-data", path("pairs"), "--model", path("tiny.json"), "--init", "fan_in"],
  ...["--batch-size", "4", "--lr", "2e-3", "--logs", path("logs"), "--name", name, "--device", "cpu"],
  ...["--threads", "1", "--json", ...more],
];
const train = (name: string, ...more: string[]) => captureCli(...words(name, ...more));
const filesOf = async (...names: string[]) =>
  (await readdir(path("logs", ...names)).catch(() => [])).filter((name) => name !== "latest").sort();

describe("evaluation data are checked before the first step", () => {
  test.each([
    ["a path that does not exist", ["--val-data", "nowhere.tar"], "--val-data cannot be"],
    ["a folder without captions", ["--val-data", "uncaptioned"], "--val-data cannot be evaluated on"],
    [
      "a folder of classes that does not exist",
      ["--imagenet-val", "nowhere"],
      "--imagenet-val cannot be opened",
    ],
    ["classes of broken images", ["--imagenet-val", "broken"], "--imagenet-val cannot be evaluated on"],
  ])("%s", async (name, [flag, given], message) => {
    const { code, err } = await train(name, "--epochs", "1", flag!, path(given!));
    expect(code).not.toBe(0);
    expect(err).toContain(message);
    expect(err).not.toContain("step 1");
    expect(await filesOf(name)).toEqual([]);
  });

  test("what can be used is used", async () => {
    const flags = ["--val-data", path("pairs"), "--imagenet-val", path("classes")];
    const { code, err } = await train("evaluated", "--epochs", "1", ...flags);
    expect(code).toBe(0);
    expect(err).toMatch(/image_to_text_R@1 .* zeroshot-top1/);
  });
});

test("a new run refuses the name of another, and changes none of its files", async () => {
  expect(await train("taken", "--steps", "2")).toMatchObject({ code: 0 });
  const before = await readFile(path("logs", "taken", "params.json"), "utf8");
  const { code, out, err } = await train("taken", "--steps", "2", "--lr", "1");
  expect(code).toBe(2);
  expect(err).toContain("there is a run in");
  expect(JSON.parse(out)).toMatchObject({ error: { code: "ERR_EVACLIP_RUN_EXISTS" } });
  expect(await readFile(path("logs", "taken", "params.json"), "utf8")).toBe(before);
});

test("a refused resume changes no file", async () => {
  expect(await train("refused", "--steps", "2")).toMatchObject({ code: 0 });
  await cp(path("logs", "refused"), path("copy"), { recursive: true });
  for (const flags of [
    ["--opt", "lamb"],
    ["--steps", "1"],
    ["--seed", "3"],
    ["--train-data", path("classes")],
  ]) {
    const { code } = await train("refused", "--steps", "4", "--resume", "latest", ...flags);
    expect(code).not.toBe(0);
    for (const file of ["params.json", "metrics.jsonl", "checkpoints/latest", "checkpoints/run.json"]) {
      const [found, expected] = [path("logs", "refused", file), path("copy", file)];
      expect(await readFile(found, "utf8")).toBe(await readFile(expected, "utf8"));
    }
    expect(await filesOf("refused", "checkpoints")).toEqual(["run.json", "step-0000002"]);
  }
});

test("a finished run has nothing to do; changed settings are reported", async () => {
  expect(await train("finished", "--steps", "2")).toMatchObject({ code: 0 });
  const again = await train("finished", "--steps", "2", "--resume", "latest");
  expect(again).toMatchObject({ code: 0, err: expect.stringContaining("nothing to do") });
  expect(JSON.parse(again.out)).not.toHaveProperty("loss");
  const other = await train(
    "finished",
    "--steps",
    "3",
    "--resume",
    "latest",
    "--batch-size",
    "5",
    "--lr",
    "1e-4",
  );
  expect(other.code).toBe(0);
  expect(other.err).toMatch(/warning: batchSize was 4 in .* and is 5 now/);
  expect(other.err).toMatch(/warning: learningRates\.image was /);
});

test("data that have grown are refused with the way round, which works", async () => {
  await cp(path("pairs"), path("growing"), { recursive: true });
  const grow = (...more: string[]) => train("growing", "--train-data", path("growing"), ...more);
  expect(await grow("--steps", "2")).toMatchObject({ code: 0 });
  await writeFile(path("growing", "99.png"), await picture(99));
  await writeFile(path("growing", "99.txt"), "one more");
  const refused = await grow("--steps", "3", "--resume", "latest");
  expect(refused).toMatchObject({ code: 1, err: expect.stringContaining("--restart-data") });
  expect(await grow("--steps", "3", "--resume", "latest", "--restart-data")).toMatchObject({ code: 0 });
});

test("steps of data whose size is unknown are saved and evaluated on the way", async () => {
  const flags = ["--train-data", path("shard.tar"), "--steps", "20", "--val-data", path("pairs")];
  const { code } = await train("unknown", ...flags);
  expect(code).toBe(0);
  expect(await filesOf("unknown", "checkpoints")).toHaveLength(11);
  const metrics = await readFile(path("logs", "unknown", "metrics.jsonl"), "utf8");
  expect(metrics.match(/"evaluate"/g)).toHaveLength(10);
});

test.each([
  ["leaves --logs", ["--name", "../../escape"], "--name must be"],
  ["is empty", ["--name", ""], "--name <name>' argument '' is invalid"],
  ["is --logs itself", ["--name", "."], "--name must be"],
  ["is too long", ["--name", "x".repeat(300)], "--name must be"],
])("a name that %s is refused", async (_, flags, message) => {
  const { code, err } = await train("unused", "--steps", "1", ...flags);
  expect(code).toBe(2);
  expect(err).toContain(message);
  expect(err.length).toBeLessThan(300);
});

test.each([
  ["--restart-data has no effect without --resume", ["--restart-data"]],
  ["--lamb-variant has no effect without --opt lamb", ["--lamb-variant", "paper"]],
  ["--epochs-cooldown has no effect without --lr-scheduler const-cooldown", ["--epochs-cooldown", "1"]],
  ["--epochs-cooldown has no effect", ["--lr-scheduler", "cosine", "--epochs-cooldown", "1"]],
  ["const-cooldown needs --epochs-cooldown", ["--lr-scheduler", "const-cooldown"]],
  ["a warm-up of 9 steps (--warmup), and the whole run has 8", ["--epochs", "2", "--warmup", "9"]],
  [
    "and a cooldown of 12, and the whole run has 8",
    ["--epochs", "2", "--lr-scheduler", "const-cooldown", "--epochs-cooldown", "3"],
  ],
])("a usage error: %s", async (message, flags) => {
  expect(await train("unused", ...flags)).toMatchObject({ code: 2, err: expect.stringContaining(message) });
  expect(await filesOf("unused")).toEqual([]);
});

test.each([
  ["--decode-concurrency", "100000", "from 1 to 1024"],
  ["--beta1", "1", "less than 1"],
  ["--beta2", "1", "less than 1"],
  ["--lr", "NaN", "must be a number"],
])("%s %s is refused with the range", async (flag, value, message) => {
  expect(await train("unused", flag, value)).toMatchObject({
    code: 2,
    err: expect.stringContaining(message),
  });
});
