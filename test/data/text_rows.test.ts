import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { openManifest } from "../../lib/data/sources/manifest";
import { eventLoopHeldMs } from "../support/event_loop";
import { epochOf, temporaryFolder, writeFiles } from "./sample_files";

const FIXTURES = join(__dirname, "../fixtures/manifests");
const folder = temporaryFolder();

async function captionsOf(path: string): Promise<(string | undefined)[]> {
  const samples = await epochOf(await openManifest(path));
  const read = samples.map((sample) =>
    sample.read().then(
      ({ captions }) => captions.join("|"),
      (error) => error.reason as string,
    ),
  );
  return Promise.all(read);
}

async function captionsIn(name: string, content: string | Buffer) {
  await writeFiles(folder.path, { [name]: content });
  return captionsOf(join(folder.path, name));
}

describe("text of manifests", () => {
  test.each([
    ["latin1.csv", ["not_utf8"]],
    ["nan.jsonl", ["a cat"]],
    ["blank_line_end.csv", ["a cat", "a dog"]],
  ])("%s", async (name, captions) => {
    expect(await captionsOf(join(FIXTURES, name))).toEqual(captions);
  });

  test("one row that is not UTF-8 is one sample left out", async () => {
    const csv = Buffer.from("filepath,title\n0.jpg,caf\xe9\n1.jpg,caf\xc3\xa9\n2.jpg,\xb1\xb1\n", "latin1");
    expect(await captionsIn("mixed.csv", csv)).toEqual(["not_utf8", "café", "not_utf8"]);
    const lines = Buffer.from(
      '{"image":"0","caption":"\xe9"}\n{"image":"1","caption":"\xc3\xa9"}\n',
      "latin1",
    );
    expect(await captionsIn("mixed.jsonl", lines)).toEqual(["not_utf8", "é"]);
  });

  test("blank lines anywhere, short rows and mixed line ends are read as pandas does", async () => {
    const csv = "\r\nfilepath,title\r\n\n0.jpg,a\n   \r\n1.jpg,b\r\n2.jpg\n\n";
    expect(await captionsIn("blank.csv", csv)).toEqual(["a", "b", ""]);
    expect(await captionsIn("twice.csv", "filepath,title,title\n0.jpg,a,b\n")).toEqual(["a"]);
  });

  test("line separators of Unicode inside JSON do not end a line", async () => {
    expect(await captionsIn("separators.jsonl", '{"image":"0","caption":"a\u2028b"}\r\n')).toEqual([
      "a\u2028b",
    ]);
  });

  test("numbers that only Python writes, outside of strings alone", async () => {
    const lines =
      '{"image":"0","caption":["NaN, \\"Infinity\\"", "b"],"x":[NaN,Infinity,-Infinity,123456789012345678901]}\n';
    expect(await captionsIn("python.jsonl", lines)).toEqual(['NaN, "Infinity"|b']);
  });

  test("a byte order mark and compression", async () => {
    expect(await captionsIn("mark.jsonl", '\ufeff{"image":"0","caption":"a"}\n')).toEqual(["a"]);
    expect(await captionsIn("zipped.csv.gz", gzipSync("filepath,title\n0.jpg,a\n"))).toEqual(["a"]);
  });

  test("rows are the same wherever the pieces that are read end", async () => {
    const captions = Array.from(
      { length: 3000 },
      (_, i) => `${"é猫".repeat(i % 7)} "${i}",\r\n${"x".repeat(i % 11)}`,
    );
    const csv = captions.map((caption, i) => `${i}.jpg,"${caption.replaceAll('"', '""')}"\r\n`);
    expect(await captionsIn("pieces.csv", `filepath,title\n${csv.join("")}`)).toEqual(captions);
    const lines = captions.map((caption, i) => `${JSON.stringify({ image: `${i}.jpg`, caption })}\n`);
    expect(await captionsIn("pieces.jsonl", lines.join(""))).toEqual(captions);
  });

  test("a line without end is refused, in time that grows with its length alone", async () => {
    await writeFiles(folder.path, { "endless.jsonl": Buffer.alloc(65 * 1024 * 1024, "x") });
    const start = performance.now();
    await expect(openManifest(join(folder.path, "endless.jsonl"))).rejects.toThrow(
      /line 1: the line is longer/,
    );
    expect(performance.now() - start).toBeLessThan(5000);
  });

  test("100,000 rows do not hold the event loop", async () => {
    const csv = `filepath,title\n${"images/000000.jpg,a caption of some words\n".repeat(100_000)}`;
    const lines = '{"image":"images/000000.jpg","caption":"a caption of some words"}\n'.repeat(100_000);
    await writeFiles(folder.path, { "many.csv": csv, "many.jsonl": lines });
    for (const name of ["many.csv", "many.jsonl"]) {
      const held = await eventLoopHeldMs(20, async () => {
        expect((await openManifest(join(folder.path, name))).size).toBe(100_000);
      });
      expect(held).toBeLessThan(20);
    }
  });
});

describe("what is no manifest says what it is", () => {
  test.each([
    ["tab.csv", /line 1: the columns are separated by a tab, expected a comma: pass "\\t" as the separator/],
    ["array.jsonl", /line 1: it is a JSON array, expected JSON lines/],
  ])("%s", async (name, message) => {
    await expect(openManifest(join(FIXTURES, name))).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      message: expect.stringMatching(message),
    });
  });

  test.each<[string, string | Buffer, RegExp]>([
    ["comma.tsv", "filepath,title\n0.jpg,a\n", /separated by a comma, expected a tab/],
    ["semicolon.csv", "filepath;title\n0.jpg;a, b\n", /separated by a semicolon, expected a comma/],
    ["array.json", '[\n{"image": "0"}]', /it is a JSON array/],
    ["commas.csv", "filepath,title\n0.jpg,a, b\n", /line 2: expected 2 fields separated by a comma, found 3/],
    ["utf16.csv", Buffer.from("\ufefffilepath,title\n", "utf16le"), /it is UTF-16 text, expected UTF-8/],
    ["header.csv", Buffer.from("filepath,\xe9\n0,1\n", "latin1"), /column names are not UTF-8/],
    [
      "arrays.jsonl",
      '{"image":"0","caption":"a"}\n["1","b"]\n',
      /line 2: expected an object, found \["1","b"\]/,
    ],
    ["image.csv", "PK\x03\x04", /its format is ZIP, which is not supported: unpack it/],
    ["nothing.csv", "", /has no rows/],
  ])("%s", async (name, content, message) => {
    await writeFiles(folder.path, { [name]: content });
    await expect(openManifest(join(folder.path, name))).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      message: expect.stringMatching(message),
    });
  });

  test("URLs, pipes, foreign formats, folders and devices", async () => {
    await mkdir(join(folder.path, "folder.csv"));
    await symlink("loop.csv", join(folder.path, "loop.csv"));
    for (const [path, message] of [
      ["https://example.com/a.csv", /is a URL; only local files can be read: download or mount it first/],
      ["pipe:cat a.csv", /is a command/],
      ["a.parquet", /is a Parquet file, which is not supported/],
      ["a.XLSX", /is an Excel workbook, which is not supported: save it as CSV/],
      ["a.sqlite", /is an SQLite database, which is not supported: write its rows/],
      ["a.pkl", /is a Python pickle, which is not supported/],
      [join(folder.path, "folder.csv"), /it is a folder, not a file/],
      [join(folder.path, "loop.csv"), /cannot read .*loop\.csv: ELOOP/],
      ["/dev/zero", /a manifest is a \.csv, \.tsv or \.jsonl file/],
      [join(folder.path, "mixd.csv"), /there is no file .*mixd\.csv; did you mean .*mixed\.csv\?/],
      [join(folder.path, "no/a.csv"), /its folder .*no does not exist either/],
    ] as const) {
      await expect(openManifest(path)).rejects.toMatchObject({
        code: "ERR_EVACLIP_DATA",
        message: expect.stringMatching(message),
      });
    }
  });

  test.each([
    [[5], /openManifest: path must be a path, found 5/],
    [["a.csv", { captionkey: "x" }], /has no field "captionkey"; did you mean captionKey\?/],
    [["a.csv", { separator: "" }], /options\.separator must be/],
    [["a.csv", null], /options must be an object, found null/],
  ])("arguments %j", async (given, message) => {
    const open = openManifest as (...given: unknown[]) => Promise<unknown>;
    await expect(open(...given)).rejects.toMatchObject({
      code: "ERR_EVACLIP_INVALID_ARGUMENT",
      message: expect.stringMatching(message),
    });
  });
});
