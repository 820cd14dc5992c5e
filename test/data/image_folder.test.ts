import { execFile } from "node:child_process";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { createLoader } from "../../lib/data/loader/loader";
import { openClassFolder, openImageFolder } from "../../lib/data/sources/image_folder";
import { collect, epochOf, png, temporaryFolder, writeFiles } from "./sample_files";

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

test("captions that are not UTF-8, and special files in their place, are skipped by reason", async () => {
  const files: Record<string, string | Uint8Array> = {
    "captions/latin1.txt": Buffer.from("caf\xe9", "latin1"),
    "captions/utf16.txt": Buffer.from("\ufeffcafé", "utf16le"),
    "captions/marked.txt": "\ufeffa café\r\ntwo",
  };
  for (const name of ["latin1", "utf16", "marked", "fifo", "folder"])
    files[`captions/${name}.png`] = await png(1);
  await writeFiles(folder.path, files);
  await promisify(execFile)("mkfifo", [join(folder.path, "captions/fifo.txt")]);
  await mkdir(join(folder.path, "captions/folder.txt"));
  const dataset = await openImageFolder(join(folder.path, "captions"));
  const loader = createLoader(dataset, { batchSize: 1, imageSize: 8, epochs: 1, shuffle: false });
  const batches = await collect(loader);
  expect(batches.map(({ samples }) => samples[0]!.captions)).toEqual([["a café", "two"]]);
  expect(loader.skips).toEqual({ not_utf8: 2, unreadable_file: 2 });
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

  test("takes the options of the call, and a folder of any name", async () => {
    await writeFiles(folder.path, { "words/constructor/1.png": "", "words/n1/1.png": "" });
    const classNames = { n1: "one" };
    const opening = openClassFolder(join(folder.path, "words"), { classNames });
    classNames.n1 = "changed";
    expect((await opening).classes).toEqual(["constructor", "one"]);
  });

  test.each([
    ["flat", ["flat/1.jpg", "flat/2.jpg"], "found no folder; images outside of folders: 2"],
    ["bare", ["bare/cat/readme.md", "bare/dog/readme.md"], "found no image in its folders"],
    [
      "mix",
      ["mix/cat/readme.md", "mix/1.jpg"],
      "found no image in its folders; images outside of folders: 1",
    ],
  ])("says what it found in place of classes: %s", async (name, paths, found) => {
    await writeFiles(folder.path, Object.fromEntries(paths.map((path) => [path, ""])));
    const directory = join(folder.path, name);
    await expect(openClassFolder(directory)).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      message: `${directory} must contain one folder of images per class, ${found}`,
      details: { directory },
    });
  });
});

describe("what is left out of a folder", () => {
  const pairs = () => join(folder.path, "mixed");

  beforeAll(async () => {
    await writeFiles(folder.path, {
      "mixed/good.png": await png(1),
      "mixed/good.txt": "good",
      "mixed/vector.svg": "<svg/>",
      "mixed/vector.txt": "a vector",
      "mixed/old.tga": "no image",
      "mixed/old.txt": "old",
      "mixed/alone.png": await png(2),
      "mixed/orphan.txt": "no image",
      "mixed/readme.md": "",
      "mixed/.hidden.png": "",
      "mixed/fifo.txt": "a fifo",
      "mixed/broken.txt": "a link",
      "split/stray.png": "",
      "split/notes.json": "",
      "split/a/1.png": await png(3),
      "split/a/2.jp2": "no image",
    });
    await promisify(execFile)("mkfifo", [join(pairs(), "fifo.png")]);
    await symlink(join(pairs(), "nowhere"), join(pairs(), "broken.jpg"));
    await mkdir(join(pairs(), "deep"));
    await symlink(pairs(), join(pairs(), "deep/loop"));
  });

  test("is counted by reason: samples that cannot be used by the loader, the rest by the data set", async () => {
    const dataset = await openImageFolder(pairs());
    expect(dataset.leftOut).toEqual({
      hidden: 1,
      not_an_image: 1,
      caption_without_image: 1,
      link_to_parent: 1,
    });
    const loader = createLoader(dataset, { batchSize: 1, imageSize: 8, epochs: 1, shuffle: false });
    const batches = await collect(loader);
    expect(batches.flatMap(({ samples }) => samples.map(({ key }) => key))).toEqual(["good.png"]);
    expect(loader.skips).toEqual({
      missing_caption: 1, // alone.png
      missing_file: 1, // broken.jpg
      unreadable_file: 1, // fifo.png
      undecodable_image: 2, // vector.svg, old.tga
    });
  });

  test("is counted in a folder of classes as well", async () => {
    const dataset = await openClassFolder(join(folder.path, "split"));
    expect(dataset.leftOut).toEqual({ outside_classes: 1, not_an_image: 1 });
    expect(dataset.size).toBe(2);
    const loader = createLoader(dataset, { batchSize: 1, imageSize: 8, epochs: 1 });
    expect(await collect(loader)).toHaveLength(1);
    expect(loader.skips).toEqual({ undecodable_image: 1 });
  });
});

test("arguments are checked", async () => {
  const refused = { code: "ERR_EVACLIP_INVALID_ARGUMENT" };
  for (const directory of [undefined, 5, "", "a\0b", ["x"]] as unknown as string[]) {
    await expect(openImageFolder(directory)).rejects.toMatchObject(refused);
    await expect(openClassFolder(directory)).rejects.toMatchObject(refused);
  }
  const misspelled = openClassFolder(folder.path, { classnames: {} } as object);
  await expect(misspelled).rejects.toThrow(/did you mean classNames\?/);
  const numbers = { classNames: { a: 5 } } as object;
  await expect(openClassFolder(folder.path, numbers)).rejects.toMatchObject(refused);
});
