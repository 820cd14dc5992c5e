import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { openClassFolder, openImageFolder } from "../../lib/data/image_folder";
import { epochOf, temporaryFolder, writeFiles } from "./sample_files";

const folder = temporaryFolder();

describe("openImageFolder", () => {
  beforeAll(async () => {
    await writeFiles(folder.path, {
      "pairs/b.jpg": "b",
      "pairs/b.txt": "a bee\n\nthe letter b\n",
      "pairs/a.PNG": "a",
      "pairs/a.txt": "an a",
      "pairs/deep/c.d.webp": "c",
      "pairs/deep/c.d.txt": "sea",
      "pairs/alone.jpeg": "no caption",
      "pairs/readme.md": "not an image",
      "pairs/.hidden.jpg": "hidden",
    });
    await symlink(join(folder.path, "pairs"), join(folder.path, "pairs/deep/loop"));
    await writeFiles(folder.path, { "empty/readme.md": "" });
  });

  test("finds images in every folder, in a fixed order, with their captions", async () => {
    const dataset = await openImageFolder(join(folder.path, "pairs"));
    const samples = await epochOf(dataset);
    expect(dataset.size).toBe(4);
    expect(samples.map(({ key }) => key)).toEqual(["a.PNG", "alone.jpeg", "b.jpg", join("deep", "c.d.webp")]);
    expect(await samples[2]!.read()).toEqual({
      image: join(folder.path, "pairs/b.jpg"),
      captions: ["a bee", "", "the letter b", ""],
    });
    expect((await samples[3]!.read()).captions).toEqual(["sea"]);
  });

  test("an image without a caption file is told apart", async () => {
    const samples = await epochOf(await openImageFolder(join(folder.path, "pairs")));
    await expect(samples[1]!.read()).rejects.toMatchObject({
      reason: "missing_caption",
      message: expect.stringContaining("alone.jpeg"),
    });
  });

  test("names a folder that is missing or has no image", async () => {
    const missing = openImageFolder(join(folder.path, "nowhere"));
    await expect(missing).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      message: expect.stringMatching(/nowhere/),
    });
    const empty = openImageFolder(join(folder.path, "empty"));
    await expect(empty).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      message: expect.stringMatching(/no image in the folder/),
    });
  });
});

describe("openClassFolder", () => {
  beforeAll(() =>
    writeFiles(folder.path, {
      "classes/n02/1.jpg": "",
      "classes/n02/sub/2.jpg": "",
      "classes/great_owl/1.png": "",
      "classes/stray.jpg": "",
    }),
  );

  test("labels images by their folder and names the classes", async () => {
    const dataset = await openClassFolder(join(folder.path, "classes"), { classNames: { n02: "tench" } });
    expect(dataset.classes).toEqual(["great owl", "tench"]);
    const samples = await epochOf(dataset);
    expect(samples.map(({ key, label }) => [key, label])).toEqual([
      [join("great_owl", "1.png"), 0],
      [join("n02", "1.jpg"), 1],
      [join("n02", "sub", "2.jpg"), 1],
    ]);
    expect((await samples[1]!.read()).captions).toEqual(["tench"]);
  });
});
