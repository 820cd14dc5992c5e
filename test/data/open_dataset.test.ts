import { join } from "node:path";
import { describeLeftOut } from "../../lib/data/sources/image_files";
import { openDataset, type OpenDatasetOptions } from "../../lib/data/sources/open_dataset";
import { epochOf, png, tar, temporaryFolder, writeFiles } from "./sample_files";

const folder = temporaryFolder();
const at = (name: string) => join(folder.path, name);
const sizeOf = async (path: string, options?: OpenDatasetOptions) =>
  (await epochOf(await openDataset(at(path), options))).length;

beforeAll(async () => {
  const shard = await tar([
    ["a.jpg", "image"],
    ["a.txt", "one"],
    ["b.jpg", "image"],
    ["b.txt", "two"],
  ]);
  await writeFiles(folder.path, {
    "shards/0.tar": shard,
    "shards/1.tar": shard,
    "images/a.png": await png(1),
    "images/a.txt": "one",
    "images/notes.tar": shard,
    "tabs.csv": "filepath\ttitle\na.png\tone\n",
    "zip/a.png": await png(1),
    "cut.tar": shard.subarray(0, 1200),
  });
});

describe("openDataset", () => {
  test("takes folders of shards, folders of images and single files for what they are", async () => {
    expect(await sizeOf("shards")).toBe(4);
    expect(await sizeOf("images")).toBe(1);
    expect(await sizeOf("zip")).toBe(1);
    expect(await sizeOf("shards/{0..1}.tar")).toBe(4);
    expect(await sizeOf("tabs.csv", { manifest: { separator: "\t" } })).toBe(1);
  });

  test("passes the options of shards on", async () => {
    expect(await sizeOf("cut.tar", { webdataset: { damagedShards: "skip" } })).toBe(1);
    await expect(sizeOf("cut.tar")).rejects.toThrow(/damaged or truncated/);
  });

  test("counts what is left out of a folder, by reason", async () => {
    const png1 = await png(1);
    await writeFiles(folder.path, {
      "left/a.png": png1,
      "left/a.txt": "one",
      "left/.hidden": "",
      "left/.hidden.png": "",
      "left/orphan.txt": "",
      "left/notes.md": "",
      "classes/cat/1.png": png1,
      "classes/2.png": png1,
    });
    const leftOutOf = async (path: string, options?: OpenDatasetOptions) =>
      describeLeftOut((await openDataset(at(path), options)).leftOut ?? {});
    expect(await leftOutOf("left")).toMatch(/^4 entries left out: /);
    for (const part of ["2 hidden", "1 not images", "1 captions without an image"])
      expect(await leftOutOf("left")).toContain(part);
    expect(await leftOutOf("classes", { type: "class-folder" })).toBe(
      "1 entry left out: 1 images outside the folders of classes",
    );
    expect(await leftOutOf("classes/cat")).toBeUndefined();
  });

  test.each([
    ["shrds", /there is no file .*shrds; did you mean .*shards\?/],
    ["images/a.png", /is one image/],
    ["data.parquet", /is a Parquet file/],
    ["data.xlsx", /is an Excel workbook/],
  ])("says what %s is", async (path, message) => {
    await expect(sizeOf(path)).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      message: expect.stringMatching(message),
    });
  });
});

test.each<[string, unknown]>([
  ["options.type", { type: "parquet" }],
  ["options.manifest", { manifest: { separator: 3 } }],
  ["options.webdataset", { webdataset: { shuffleBuffer: 0 } }],
])("refuses a wrong %s", async (field, options) => {
  await expect(openDataset(at("images"), options as OpenDatasetOptions)).rejects.toMatchObject({
    code: "ERR_EVACLIP_INVALID_ARGUMENT",
    message: expect.stringContaining(field),
  });
});
