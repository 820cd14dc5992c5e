import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { createLoader } from "../../lib/data/loader/loader";
import type { Skip } from "../../lib/data/loader/loader_options";
import { openManifest } from "../../lib/data/sources/manifest";
import { collect, epochOf, png, temporaryFolder, writeFiles } from "./sample_files";

const folder = temporaryFolder();

async function rows(name: string, content: string, options?: Parameters<typeof openManifest>[1]) {
  await writeFiles(folder.path, { [name]: content });
  const samples = await epochOf(await openManifest(join(folder.path, name), options));
  return Promise.all(samples.map((sample) => sample.read()));
}

describe("openManifest", () => {
  test("reads CSV with quotes, commas, line breaks and a byte-order mark", async () => {
    const csv = '\ufefffilepath,title\r\na.jpg,"a ""red"", round\nball"\r\nsub/b.jpg,plain\r\n';
    expect(await rows("quotes.csv", csv)).toEqual([
      { image: join(folder.path, "a.jpg"), captions: ['a "red", round\nball'] },
      { image: join(folder.path, "sub/b.jpg"), captions: ["plain"] },
    ]);
  });

  test("reads TSV with stray quotes, other columns and other names", async () => {
    const tsv = 'id\turl\ttext\n1\tx.png\ta 5" screen\n';
    const options = { imageKey: "url", captionKey: "text", imageRoot: "/images" };
    expect(await rows("named.tsv", tsv, options)).toEqual([
      { image: "/images/x.png", captions: ['a 5" screen'] },
    ]);
  });

  test("takes a separator for any extension, and absolute paths as they are", async () => {
    const text = "image|caption\n/abs/x.png|one\n";
    expect(await rows("bars.txt", text, { separator: "|" })).toEqual([
      { image: "/abs/x.png", captions: ["one"] },
    ]);
  });

  test("file: and data: URLs are read; others, and images that cannot be read, are skipped", async () => {
    const bytes = await png(1);
    await writeFiles(folder.path, { "a.png": bytes, "image:1.png": bytes });
    const images = [
      pathToFileURL(join(folder.path, "a.png")).href,
      `data:image/png;base64,${bytes.toString("base64")}`,
      "image:1.png",
      "https://example.com/a.png",
      "s3://bucket/a.png",
      "file://elsewhere/a.png",
      "data:image/png",
      "a\0.png",
    ];
    const lines = images.map((image) => JSON.stringify({ image, caption: "one" }));
    await writeFiles(folder.path, { "urls.jsonl": lines.join("\n") });
    const skips: Skip[] = [];
    const loader = createLoader(await openManifest(join(folder.path, "urls.jsonl")), {
      ...{ batchSize: 1, imageSize: 8, epochs: 1, shuffle: false },
      onSkip: (skip) => skips.push(skip),
    });
    expect(await collect(loader)).toHaveLength(3);
    expect(loader.skips).toEqual({ undecodable_image: 5 });
    expect(skips[0]!.message).toMatch(/urls\.jsonl:4: .*is a https: URL, which is not read/);
  });

  test("reads JSON lines with one caption or several", async () => {
    const jsonl =
      '{"image":"a.jpg","caption":"one"}\n\n{"image":"b.jpg","caption":["two","three"]}\n{"image":"c.jpg"}\n';
    const read = await rows("lines.jsonl", jsonl);
    expect(read.map(({ captions }) => captions)).toEqual([["one"], ["two", "three"], []]);
  });

  test("a row without an image path is left to be skipped, and names its line", async () => {
    await expect(rows("hole.csv", "filepath,title\na.jpg,one\n,two\n")).rejects.toMatchObject({
      reason: "missing_image",
      message: expect.stringMatching(/hole\.csv, line 3/),
    });
  });

  test.each([
    [
      "columns.csv",
      "path,title\na.jpg,one\n",
      undefined,
      /line 2: no image column "filepath" or "image"; the columns are path, title/,
    ],
    [
      "asked.csv",
      "filepath,title\na.jpg,one\n",
      { captionKey: "text" },
      /no caption column "text"; the columns are filepath, title/,
    ],
    ["ragged.csv", "filepath,title\na.jpg,one\nb.jpg,two,three\n", undefined, /ragged\.csv.*line 3/],
    ["broken.jsonl", '{"image":"a","caption":"b"}\n{"image":\n', undefined, /broken\.jsonl, line 2/],
    ["list.jsonl", "3\n", undefined, /line 1: expected an object/],
    ["empty.csv", "filepath,title\n", undefined, /has no rows/],
    ["table.xlsx", "", undefined, /an Excel workbook/],
    ["table.docx", "", undefined, /a \.csv, \.tsv or \.jsonl file/],
  ])("names what is wrong with %s", async (name, content, options, message) => {
    await expect(rows(name, content, options)).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      message: expect.stringMatching(message),
    });
  });

  test("names a manifest that is missing", async () => {
    for (const name of ["none.csv", "none.jsonl"]) {
      const missing = openManifest(join(folder.path, name));
      await expect(missing).rejects.toMatchObject({
        code: "ERR_EVACLIP_DATA",
        message: expect.stringContaining(name),
      });
    }
  });
});
