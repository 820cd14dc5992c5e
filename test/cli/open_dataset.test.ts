import { join } from "node:path";
import type { DatasetFlags } from "../../lib/cli/dataset_flags";
import { cropScale } from "../../lib/cli/flag_values";
import { openDataset } from "../../lib/cli/open_dataset";
import { epochOf, png, tar, temporaryFolder, writeFiles } from "../data/sample_files";
import { captureCli } from "../support/run_cli";

const folder = temporaryFolder();
const at = (name: string) => join(folder.path, name);
const flags = (more: Partial<DatasetFlags> = {}): DatasetFlags => ({ datasetType: "auto", ...more });
const sizeOf = async (path: string, more?: Partial<DatasetFlags>) =>
  (await epochOf(await openDataset(at(path), flags(more)))).length;

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
    expect(await sizeOf("tabs.csv", { csvSeparator: "\t" })).toBe(1);
  });

  test("hands the flags of shards on", async () => {
    expect(await sizeOf("cut.tar", { damagedShards: "skip" })).toBe(1);
    await expect(sizeOf("cut.tar")).rejects.toThrow(/damaged or cut short/);
  });

  test("tells what is left out of a folder, by reason", async () => {
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
    const written: string[] = [];
    const spy = jest.spyOn(process.stderr, "write").mockImplementation((text) => {
      written.push(String(text));
      return true;
    });
    try {
      await openDataset(at("left"), flags());
      await openDataset(at("classes"), flags({ datasetType: "class-folder" }));
      await openDataset(at("classes/cat"), flags());
    } finally {
      spy.mockRestore();
    }
    expect(written).toHaveLength(2);
    expect(written[0]).toMatch(/^.*left: 4 entries left out: /);
    for (const part of ["2 hidden", "1 not images", "1 captions without an image"])
      expect(written[0]).toContain(part);
    expect(written[1]).toMatch(/classes: 1 entry left out: 1 images outside of the folders of classes\n$/);
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

test("the library's options of data sets are flags", async () => {
  const { out } = await captureCli("train", "--help");
  for (const flag of [
    ...["--damaged-shards", "--shuffle-buffer", "--image-key", "--text-key", "--json-text-key"],
    ...["--max-skips", "--crop-scale", "--text-bucket"],
  ]) {
    expect(out).toContain(flag);
  }
  expect(cropScale("0.4,1")).toEqual([0.4, 1]);
  for (const text of ["0.4", "1,0.4", "0,1", "0.4,1,1", "a,b"])
    expect(() => cropScale(text)).toThrow(/two shares|number/);
});
