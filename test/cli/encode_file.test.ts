import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { npyHeader } from "../../lib/cli/encode/embeddings_file";
import { EvaClip } from "../../lib";
import { temporaryFolder } from "../data/sample_files";
import { captureCli as run } from "../support/run_cli";

const config = {
  embed_dim: 16,
  vision_cfg: { image_size: 16, layers: 1, width: 32, head_width: 16, patch_size: 8, eva_model_name: "tiny" },
  text_cfg: { context_length: 16, width: 8, heads: 1, layers: 1 },
};
const folder = temporaryFolder();
const path = (name: string) => join(folder.path, name);
const words = () => ["encode", path("model"), "--device", "cpu", "--threads", "1", "--batch-size", "2"];
const captions = ["one", "two", "three"];

beforeAll(async () => {
  await using model = await EvaClip.create(config, { device: "cpu", threads: 1, init: "fan_in" });
  await model.save(path("model"));
});

test("an .npy file holds the rows that are printed otherwise", async () => {
  const printed = await run(...words(), "--json", "--text", ...captions);
  const { embeddings } = JSON.parse(printed.out) as { embeddings: { embedding: number[] }[] };
  const { code, out } = await run(...words(), "--json", "--out", path("e.npy"), "--text", ...captions);
  expect({ code, document: JSON.parse(out) as unknown }).toMatchObject({
    code: 0,
    document: { rows: 3, embedDim: 16, file: path("e.npy") },
  });
  const bytes = await readFile(path("e.npy"));
  const header = npyHeader(3, 16);
  expect(header.length % 64).toBe(0);
  expect(bytes.subarray(0, header.length)).toEqual(header);
  const values = new Float32Array(new Uint8Array(bytes.subarray(header.length)).buffer);
  expect(Array.from(values)).toEqual(embeddings.flatMap(({ embedding }) => embedding));
});

test("a .jsonl file has one object per line; an image that cannot be read leaves no file", async () => {
  await run(...words(), "--out", path("e.jsonl"), "--text", ...captions);
  const lines = (await readFile(path("e.jsonl"), "utf8")).trim().split("\n");
  expect(lines.map((line) => (JSON.parse(line) as { input: string }).input)).toEqual(captions);
  const failed = await run(...words(), path("missing.png"), "--out", path("other.jsonl"));
  expect(failed.code).toBe(1);
  expect((await readdir(folder.path)).sort()).toEqual(["e.jsonl", "e.npy", "model"]);
});

test("another kind of file is refused", async () => {
  const { code, err } = await run(...words(), "--out", path("e.csv"), "--text", "a");
  expect(code).toBe(2);
  expect(err).toContain("It must end in .npy or .jsonl.");
});
