import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { readShard } from "../../lib/data/sources/webdataset/tar_shard";
import { collect, tar, temporaryFolder, writeFiles } from "./sample_files";

const FIXTURES = join(__dirname, "../fixtures/shards");
const folder = temporaryFolder();
const WANTED = new Set(["jpg", "txt"]);

async function shardOf(name: string, content: Buffer): Promise<string> {
  await writeFiles(folder.path, { [name]: content });
  return join(folder.path, name);
}

/** Each sample as its key and the text beside the image. */
async function textsIn(path: string): Promise<string[]> {
  const samples = await collect(readShard(path, WANTED));
  return samples.map(({ key, members }) => `${key} ${members.get("txt")?.toString()}`);
}

describe("tar archives as Python's tarfile reads them", () => {
  const captions = [0, 1, 2].map((i) => `0000${i} caption ${i}`);
  test.each([
    ["v7.tar", captions],
    ["no_end_marker.tar", captions],
    ["v7.tar.zst", captions],
    ["frames.tar.zst", captions],
    ["empty.tar", []],
    ["duplicates.tar", ["0 first", "0 second", "1 third"]],
  ])("%s", async (name, texts) => {
    expect(await textsIn(join(FIXTURES, name))).toEqual(texts);
  });

  test.each(["gnu", "pax"])("long names, names beyond ASCII and links of the %s format", async (format) => {
    const samples = await collect(readShard(join(FIXTURES, `long_names_${format}.tar`), WANTED));
    const long = `${"folder/".repeat(30)}a`;
    expect(samples.map(({ key }) => key)).toEqual([long, "é", "1", "2"]);
    expect(samples[0]!.members.get("txt")!.toString()).toBe("café");
    expect(samples[2]!.problems.get("txt")).toBe(`a hard link to ${long}.txt`);
    expect(samples[3]!.problems.get("txt")).toBe("a symbolic link to 1.txt");
  });

  test.each(["gnu", "pax"])(
    "sparse files of the %s format are named, and what follows is read",
    async (format) => {
      const samples = await collect(readShard(join(FIXTURES, `sparse_${format}.tar.gz`), WANTED));
      expect(samples.map(({ key }) => key)).toEqual(["0", "1"]);
      expect(samples[0]!.problems.get("jpg")).toBe("a sparse file");
      expect(samples[1]!.members.get("jpg")!.toString()).toBe("img");
      expect(samples[1]!.members.get("txt")!.toString()).toBe("after");
    },
  );

  test("compression is found by content, whatever the name", async () => {
    const plain = await readFile(join(FIXTURES, "v7.tar"));
    const zstd = await readFile(join(FIXTURES, "v7.tar.zst"));
    const gzips = Buffer.concat([gzipSync(plain.subarray(0, 3000)), gzipSync(plain.subarray(3000))]);
    expect(await textsIn(await shardOf("zipped.tar", gzips))).toEqual(captions);
    expect(await textsIn(await shardOf("zstd.tar", zstd))).toEqual(captions);
    expect(await textsIn(await shardOf("plain.tar.gz", plain))).toEqual(captions);
  });

  test("bytes after the end marker are not read, a second archive is", async () => {
    const archive = await tar([
      ["a.jpg", "image"],
      ["a.txt", "one"],
    ]);
    const rubbish = await shardOf("rubbish_after.tar", Buffer.concat([archive, Buffer.alloc(700, "x")]));
    expect(await textsIn(rubbish)).toEqual(["a one"]);
    const other = await tar([["b.txt", "two"]]);
    expect(await textsIn(await shardOf("two.tar", Buffer.concat([archive, other])))).toEqual([
      "a one",
      "b two",
    ]);
  });

  test("a size in base 256, a signed checksum and names that are not UTF-8", async () => {
    const archive = await tar([
      ["n1.txt", "one"],
      ["n2.txt", "two"],
    ]);
    for (const [at, byte] of [
      [0, 0xe9],
      [1024, 0xe8],
    ] as const) {
      const header = archive.subarray(at, at + 512);
      header[0] = byte;
      header.fill(0, 124, 136);
      header[124] = 0x80;
      header[135] = 3;
      header.fill(32, 148, 156);
      const sum = header.reduce((total, value) => total + ((value << 24) >> 24), 0);
      header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    }
    expect(await textsIn(await shardOf("bytes.tar", archive))).toEqual(["é1 one", "è2 two"]);
  });
});

describe("samples of a shard", () => {
  test.each<[string, [string, string][], string[]]>([
    [
      "a member twice",
      [
        ["0.txt", "a"],
        ["0.txt", "b"],
      ],
      ["0 a", "0 b"],
    ],
    [
      "a member twice in other letters",
      [
        ["0.TXT", "a"],
        ["0.txt", "b"],
      ],
      ["0 a", "0 b"],
    ],
    [
      "a member that is not asked for twice",
      [
        ["0.cls", "1"],
        ["0.txt", "a"],
        ["0.cls", "2"],
        ["0.txt", "b"],
      ],
      ["0 a", "0 b"],
    ],
    [
      "keys in turns",
      [
        ["0.jpg", ""],
        ["1.jpg", ""],
        ["0.txt", "a"],
        ["1.txt", "b"],
      ],
      ["0 undefined", "1 undefined", "0 a", "1 b"],
    ],
    [
      "the same name in two folders",
      [
        ["a/0.txt", "a"],
        ["b/0.txt", "b"],
      ],
      ["a/0 a", "b/0 b"],
    ],
    ["a folder with a dot", [["v1.0/x.txt", "a"]], ["v1.0/x a"]],
    [
      "files of macOS",
      [
        ["._0.txt", "fork"],
        ["0.txt", "a"],
      ],
      ["0 a"],
    ],
  ])("%s", async (name, members, texts) => {
    expect(await textsIn(await shardOf(`${name}.tar`, await tar(members)))).toEqual(texts);
  });
});

describe("damage", () => {
  const archive = () => readFile(join(FIXTURES, "v7.tar"));
  async function problemOf(name: string, content: Buffer): Promise<string> {
    const path = await shardOf(name, content);
    return textsIn(path).then(
      (texts) => `read ${texts.length}`,
      (error: Error) => error.message,
    );
  }

  test("a cut is noticed inside headers, contents and compressed data", async () => {
    const whole = await archive();
    expect(await problemOf("header.tar", whole.subarray(0, 3 * 1024 + 100))).toMatch(/ends inside/);
    expect(await problemOf("content.tar", whole.subarray(0, 512 + 100))).toMatch(/ends inside 00000\.jpg/);
    expect(await problemOf("nothing.tar", Buffer.alloc(0))).toMatch(/is empty: 0 bytes/);
    const zipped = gzipSync(whole);
    expect(await problemOf("cut.tar.gz", zipped.subarray(0, zipped.length - 20))).toMatch(/unexpected end/);
    const zstd = await readFile(join(FIXTURES, "v7.tar.zst"));
    expect(await problemOf("cut.tar.zst", zstd.subarray(0, zstd.length - 20))).toMatch(/unexpected EOF/);
  });

  test("a header with a flipped bit is noticed", async () => {
    const whole = await archive();
    whole[1536 + 3]! ^= 1;
    expect(await problemOf("flipped.tar", whole)).toBe("a header has the wrong checksum");
  });

  test.each([
    ["v7.tar.bz2", /its format is bzip2, which is not supported: compress it with gzip or zstd instead/],
    ["v7.tar.xz", /its format is xz, which is not supported: compress it with gzip or zstd instead/],
  ])("%s is named", async (name, message) => {
    await expect(textsIn(join(FIXTURES, name))).rejects.toThrow(message);
  });

  test.each([
    ["Parquet", "PAR1"],
    ["ZIP", "PK\x03\x04"],
    ["Git LFS pointer", "version https://git-lfs.github.com/spec/v1\n"],
  ])("a %s file is named", async (name, start) => {
    expect(await problemOf(`${name}.tar`, Buffer.from(start.padEnd(2000, " ")))).toContain(
      `its format is ${name}`,
    );
  });
});
