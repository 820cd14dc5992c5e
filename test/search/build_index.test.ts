import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFile,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  unlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDataset } from "../../lib/data";
import type { EvaClip } from "../../lib/index";
import { type BuildIndexOptions, buildIndex, checkIndexModel, openIndex } from "../../lib/search";
import { smallModel, writePhoto, writePhotos } from "./small_photos";

let model: EvaClip;
let folder: string;
let photos: string;

beforeAll(async () => {
  model = await smallModel();
});
afterAll(() => model.dispose());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-index-"));
  photos = join(folder, "photos");
  await writePhotos(photos, 13);
});
afterEach(() => rm(folder, { recursive: true }));

async function build(name: string, options: BuildIndexOptions = {}) {
  const dataset = await openDataset(photos, { annotations: "all" });
  return buildIndex(model, dataset, join(folder, name), { root: photos, batchSize: 4, ...options });
}

async function sourcesOf(name: string): Promise<string[]> {
  await using index = await openIndex(join(folder, name));
  const sources: string[] = [];
  for await (const { entry } of index.vectors()) sources.push(entry.source);
  return sources;
}

const bytesOf = (name: string) => readFile(join(folder, name));

test("every image is embedded with what is known of it; one that cannot be used is skipped, counted and named", async () => {
  const skipped: string[] = [];
  const progress: unknown[] = [];
  const result = await build("a.safetensors", {
    modelPath: "models/small",
    onSkip: ({ message }) => skipped.push(message),
    onProgress: (done, total) => progress.push([done, total]),
  });
  expect(result).toMatchObject({ embedded: 13, unchanged: 0, removed: 0, size: 13, missingParts: [] });
  expect(result.skips).toEqual({ undecodable_image: 1 });
  expect(skipped).toEqual([expect.stringContaining("broken.jpg")]);
  expect(progress.at(-1)).toEqual([14, 14]);
  await using index = await openIndex(join(folder, "a.safetensors"));
  expect(index).toMatchObject({ size: 13, dimensions: model.embedDim, model: "models/small", root: photos });
  await checkIndexModel(index, model);
  const { mtime, size } = await stat(join(photos, "cats", "006.png"));
  const id = (await sourcesOf("a.safetensors")).indexOf("cats/006.png");
  expect(await index.entry(id)).toEqual({
    id,
    source: "cats/006.png",
    caption: "photo 6",
    metadata: { width: 46, height: 32, class: "cats", size, mtime: mtime.toISOString() },
  });
  const alone = await model.encodeImage(join(photos, "cats", "006.png"));
  const stored = (await index.vector(id))!;
  expect(Math.max(...alone.map((value, i) => Math.abs(value - stored[i]!)))).toBeLessThan(1e-6);
  expect(await readdir(folder)).toEqual(["a.safetensors", "photos"]);
});

test("a second build embeds what is new or changed, and drops what is gone", async () => {
  await build("a.safetensors");
  await writePhoto(photos, "cats/new.png", 77);
  await writePhoto(photos, "cats/002.png", 78, 44);
  await writeFile(join(photos, "birds", "001.txt"), "a caption at last");
  await unlink(join(photos, "birds", "003.png"));
  const result = await build("a.safetensors");
  expect(result).toMatchObject({ embedded: 3, unchanged: 10, removed: 1, size: 13 });
  await build("fresh.safetensors");
  expect(await bytesOf("a.safetensors")).toEqual(await bytesOf("fresh.safetensors"));
});

test("a build that was ended, with a record that was not written whole, is continued to the same bytes", async () => {
  await build("whole.safetensors");
  const stop = new AbortController();
  const stopped = build("a.safetensors", {
    signal: stop.signal,
    onProgress: (done) => done >= 5 && stop.abort(new Error("enough")),
  });
  await expect(stopped).rejects.toThrow("enough");
  const journal = join(folder, "a.safetensors.journal");
  for (const damage of [() => appendFile(journal, "half a rec"), () => truncateBy(journal, 30)]) {
    // The build that was given up may still be ending.
    await whenUnlocked("a.safetensors");
    await damage();
  }
  const result = await build("a.safetensors");
  expect(result.embedded).toBeLessThan(13);
  expect(result.unchanged).toBeGreaterThan(0);
  expect(await bytesOf("a.safetensors")).toEqual(await bytesOf("whole.safetensors"));
});

async function truncateBy(path: string, bytes: number): Promise<void> {
  await truncate(path, (await stat(path)).size - bytes);
}

async function whenUnlocked(name: string): Promise<void> {
  while ((await readdir(folder)).includes(`${name}.lock`))
    await new Promise((resolve) => setTimeout(resolve, 5));
}

test("a build killed at any moment is continued to the same bytes", async () => {
  await build("whole.safetensors");
  const kill = async (moment: number) => {
    const child = spawn(
      process.execPath,
      ["-C", "eva-clip-source", "-r", "ts-node/register/transpile-only", join(__dirname, "killed_build.ts")],
      { stdio: "inherit", env: { ...process.env, KILLED_BUILD: JSON.stringify({ folder, moment }) } },
    );
    return once(child, "exit");
  };
  expect(await kill(9)).toEqual([null, "SIGKILL"]);
  expect(await readdir(folder)).toContain("a.safetensors.journal");
  expect(await build("a.safetensors")).toMatchObject({ size: 13 });
  expect(await bytesOf("a.safetensors")).toEqual(await bytesOf("whole.safetensors"));
}, 30_000);

test("a build that is split over processes makes the file of a single one, also after a change of their number", async () => {
  await build("whole.safetensors", { storage: "f16" });
  const part = (rank: number, size: number) =>
    build("a.safetensors", { part: { rank, size }, storage: "f16" });
  expect(await part(1, 3)).toMatchObject({ size: undefined, missingParts: [0, 2] });
  // Two instead of three: what the three had done is not embedded again.
  const [first, second] = [await part(1, 2), await part(0, 2)];
  expect(first).toMatchObject({ size: undefined, missingParts: [0] });
  expect(second).toMatchObject({ size: 13, missingParts: [] });
  expect(first.embedded + second.embedded).toBeLessThan(13);
  expect(await bytesOf("a.safetensors")).toEqual(await bytesOf("whole.safetensors"));
  expect(await readdir(folder)).toEqual(["a.safetensors", "photos", "whole.safetensors"]);
  await unlink(join(photos, "cats", "000.png"));
  await Promise.all([part(0, 2), part(1, 2)]);
  expect(await sourcesOf("a.safetensors")).toHaveLength(12);
});

test("an index does not mix models or roots, and a second process waits its turn", async () => {
  await build("a.safetensors");
  const mismatch = { code: "ERR_EVACLIP_INDEX_MISMATCH" };
  await expect(build("a.safetensors", { root: folder })).rejects.toMatchObject(mismatch);
  await using other = await smallModel(1);
  const dataset = await openDataset(photos, { annotations: "all" });
  const mixed = buildIndex(other, dataset, join(folder, "a.safetensors"), { root: photos });
  await expect(mixed).rejects.toMatchObject({ ...mismatch, details: { field: "fingerprint" } });
  await using index = await openIndex(join(folder, "a.safetensors"));
  await expect(checkIndexModel(index, other)).rejects.toMatchObject(mismatch);
  const twice = await Promise.allSettled([build("b.safetensors"), build("b.safetensors")]);
  expect(twice.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  const [refused] = twice.filter((one) => one.status === "rejected");
  expect(refused!.reason).toMatchObject({ code: "ERR_EVACLIP_RUN_ACTIVE" });
});

test("columns of a manifest become metadata, a repeated image counts once, and data: URLs have no path", async () => {
  const url = `data:image/png;base64,${(await readFile(join(photos, "cats", "004.png"))).toString("base64")}`;
  const rows = [
    "filepath,title,photographer,year,code",
    "photos/cats/000.png,a cat,Ann,1999,007",
    "photos/cats/000.png,the same cat,Ann,1999,007",
    "photos/birds/001.png,,Ben,2001.5,",
    `"${url}",inline,Cy,,`,
  ];
  await writeFile(join(folder, "table.csv"), rows.join("\n"));
  const dataset = await openDataset(join(folder, "table.csv"), { annotations: "all" });
  const path = join(folder, "table.safetensors");
  const result = await buildIndex(model, dataset, path, { root: folder });
  expect(result).toMatchObject({ embedded: 3, repeated: 1, size: 3 });
  await using index = await openIndex(path);
  expect(await index.entry(0)).toMatchObject({
    source: "photos/cats/000.png",
    caption: "a cat",
    metadata: { class: "cats", photographer: "Ann", year: 1999, code: "007", width: 40 },
  });
  expect(await index.entry(1)).toMatchObject({ metadata: { photographer: "Ben", year: 2001.5, code: "" } });
  expect(await index.entry(2)).toMatchObject({ source: "table.csv:5", caption: "inline" });
  expect((await buildIndex(model, dataset, path, { root: folder })).embedded).toBe(0);
});

test("an index without images can be written, opened and searched", async () => {
  const nothing = { size: 0, open: async function* () {} };
  await buildIndex(model, nothing, join(folder, "empty.safetensors"));
  await using index = await openIndex(join(folder, "empty.safetensors"));
  expect(index.size).toBe(0);
  expect(await index.nearest([new Float32Array(model.embedDim).fill(1)])).toEqual([[]]);
});
