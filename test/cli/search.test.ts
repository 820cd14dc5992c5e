import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { partOfBuild } from "../../lib/cli/index/part_of_build";
import { smallModel, writePhotos } from "../search/small_photos";
import { captureCli } from "../support/run_cli";

let folder: string;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "eva-clip-search-"));
  await writePhotos(at("photos"), 12);
  await using model = await smallModel();
  await model.save(at("model"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (...words: string[]) => captureCli(...words, "--device", "cpu", "--threads", "1");

test.each(["photos.safetensors", "photos.db"])("a folder is indexed into %s and searched", async (name) => {
  const built = await run("index", at("model"), at("photos"), "--out", at(name));
  expect(built.err).toContain("skipped (undecodable_image): cannot decode the image");
  expect(built).toMatchObject({
    code: 0,
    out: expect.stringContaining("12 images; 12 embedded, 0 unchanged"),
  });
  expect(built.out).toContain("1 undecodable_image");
  const again = await run("index", at("model"), at("photos"), "--out", at(name), "--json");
  expect(JSON.parse(again.out)).toMatchObject({
    size: 12,
    embedded: 0,
    unchanged: 12,
    skips: { undecodable_image: 1 },
  });

  const picture = join(at("photos"), "cats", "006.png");
  const found = await run("search", at(name), "--image", picture, "--count", "3", "--json");
  const { queries } = JSON.parse(found.out);
  expect(queries[0].matches).toHaveLength(3);
  expect(queries[0].matches[0]).toMatchObject({ source: "cats/006.png", path: picture, caption: "photo 6" });
  expect(queries[0].matches[0].similarity).toBeCloseTo(1, 5);
  const text = await run(
    "search",
    at(name),
    "a red bicycle",
    "a dog",
    "--where",
    "class = 'birds' and width > 45",
  );
  expect(text.out).toContain("a red bicycle\nsimilarity  image");
  expect(text.out).toMatch(/^-?0\.\d{4} +birds\/009\.png +photo 9$/m);
  expect(text.out).not.toContain("cats/");
});

test("mistakes are named", async () => {
  await run("index", at("model"), at("photos"), "--out", at("used.safetensors"));
  const problems: [string[], string][] = [
    [["index", at("model")], "--out"],
    [["index", at("model"), "--out", at("x.safetensors")], "missing images"],
    [["index", at("model"), at("photos"), at("more"), "--out", at("x.safetensors")], "unexpected"],
    [["index", at("model"), at("photos"), "--out", at("x.db"), "--storage", "f16"], "a database stores f32"],
    [["search", at("used.safetensors")], "nothing to search for"],
    [["search", at("used.safetensors"), "a dog", "--where", "color = 'red'"], "color"],
    [["search", at("none.safetensors"), "a dog"], "does not exist"],
  ];
  for (const [words, problem] of problems) {
    const { code, err } = await run(...words);
    expect({ words, code: code > 0, err }).toEqual({
      words,
      code: true,
      err: expect.stringContaining(problem),
    });
  }
});

test("an index is searched with the model that made it", async () => {
  await using other = await smallModel(1);
  await other.save(at("other"));
  await run("index", at("model"), at("photos"), "--out", at("used.safetensors"));
  const { code, err } = await run("search", at("used.safetensors"), "a dog", "--model", at("other"));
  expect({ code, err }).toMatchObject({
    code: 1,
    err: expect.stringContaining("ERR_EVACLIP_INDEX_MISMATCH"),
  });
});

test("the share of a process is what its launcher states", () => {
  expect(partOfBuild({})).toBeUndefined();
  expect(partOfBuild({ RANK: "", WORLD_SIZE: "" })).toBeUndefined();
  expect(partOfBuild({ RANK: "1", WORLD_SIZE: "4", SLURM_PROCID: "3" })).toEqual({ rank: 1, size: 4 });
  expect(partOfBuild({ OMPI_COMM_WORLD_RANK: "0", OMPI_COMM_WORLD_SIZE: "2" })).toEqual({ rank: 0, size: 2 });
  expect(partOfBuild({ SLURM_PROCID: "1", SLURM_NTASKS: "2" })).toEqual({ rank: 1, size: 2 });
  expect(() => partOfBuild({ RANK: "1" })).toThrow("WORLD_SIZE=");
  expect(() => partOfBuild({ RANK: "2", WORLD_SIZE: "2" })).toThrow("expected a rank");
});
