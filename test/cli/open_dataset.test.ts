import { join } from "node:path";
import { cropScale, type DatasetFlags } from "../../lib/cli/flags";
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
    "cut.tar": shard.subarray(0, 1200),
  });
});

describe("openDataset", () => {
  test("takes folders of shards, folders of images and single files for what they are", async () => {
    expect(await sizeOf("shards")).toBe(4);
    expect(await sizeOf("images")).toBe(1);
    expect(await sizeOf("shards/{0..1}.tar")).toBe(4);
    expect(await sizeOf("tabs.csv", { csvSeparator: "\t" })).toBe(1);
  });

  test("hands the flags of shards on", async () => {
    expect(await sizeOf("cut.tar", { damagedShards: "skip" })).toBe(1);
    await expect(sizeOf("cut.tar")).rejects.toThrow(/damaged or cut short/);
  });

  test.each([
    ["shrds", /there is no file .*shrds; did you mean .*shards\?/],
    ["images/a.png", /is one image/],
    ["data.parquet", /is a Parquet file/],
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
