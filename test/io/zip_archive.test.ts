import { open } from "node:fs/promises";
import { failAbout } from "../../lib/io/checkpoint_error";
import { readZipArchive } from "../../lib/io/pytorch/zip_archive";
import { type ArchiveEntry, packArchive, ScratchFolder } from "../support/pytorch_archive";

const ENTRIES: ArchiveEntry[] = [
  { name: "a/one", data: "first" },
  { name: "a/two", data: "" },
  { name: "a/drei ☃", data: "third one" },
];

let scratch: ScratchFolder;
beforeAll(async () => {
  scratch = await ScratchFolder.create();
});
afterAll(() => scratch[Symbol.asyncDispose]());

async function list(bytes: Buffer) {
  const path = await scratch.write("archive.zip", bytes);
  const file = await open(path);
  try {
    return await readZipArchive(file, bytes.length, failAbout(path));
  } finally {
    await file.close();
  }
}

const failure = (kind: string, message: RegExp) =>
  expect.objectContaining({
    code: `ERR_EVACLIP_CHECKPOINT_${kind}`,
    message: expect.stringMatching(message),
  });

/** The archive with the integer of `width` bytes replaced that is `offset` bytes after the last `signature`. */
function patched(bytes: Buffer, signature: string, offset: number, width: number, value: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUIntLE(value, copy.lastIndexOf(signature, undefined, "latin1") + offset, width);
  return copy;
}

describe("readZipArchive", () => {
  test.each([false, true])("locates each entry's bytes (ZIP64: %s)", async (isZip64) => {
    const bytes = packArchive(ENTRIES, { isZip64 });
    const entries = await list(bytes);
    expect([...entries.keys()].sort()).toEqual(ENTRIES.map(({ name }) => name).sort());
    for (const { name, data } of ENTRIES) {
      const entry = entries.get(name)!;
      expect(entry.isStored).toBe(true);
      expect(bytes.toString("latin1", entry.begin, entry.begin + entry.bytes)).toBe(data);
    }
  });

  test("finds the directory before a comment, and recognizes compressed entries", async () => {
    const bytes = packArchive([{ name: "a", data: "xyz", method: 8 }]);
    const commented = Buffer.concat([patched(bytes, "PK\x05\x06", 20, 2, 7), Buffer.from("PK\x05\x06...")]);
    expect((await list(commented)).get("a")).toMatchObject({ bytes: 3, isStored: false });
  });

  const good = packArchive(ENTRIES);
  const directory = good.indexOf("PK\x01\x02", 0, "latin1");
  const shortened = Buffer.concat([good.subarray(0, 3), good.subarray(4)]);
  test.each<[string, Buffer, RegExp]>([
    ["a truncated file", good.subarray(0, -1), /truncated or damaged: its \d+ bytes do not end with/],
    [
      "a file without a beginning",
      shortened,
      /ZIP directory of \d+ bytes at byte \d+, expected one that ends/,
    ],
    [
      "more bytes than the directory knows",
      Buffer.concat([Buffer.from("x"), good]),
      /expected one that ends/,
    ],
    [
      "more entries than there are",
      patched(good, "PK\x05\x06", 10, 2, 4),
      /directory of 4 entries|no entry 3/,
    ],
    ["fewer entries than there are", patched(good, "PK\x05\x06", 10, 2, 2), /bytes after the last entry/],
    ["a split archive", patched(good, "PK\x05\x06", 4, 2, 1), /one part of a split archive/],
    ["a missing ZIP64 record", patched(good, "PK\x05\x06", 16, 4, 0xffffffff), /lacks the ZIP64 record/],
    ["missing ZIP64 sizes", patched(good, "PK\x01\x02", 42, 4, 0xffffffff), /without the ZIP64 sizes/],
    [
      "a ZIP64 record beyond the file",
      packArchive(ENTRIES, { isZip64: true, zip64Record: 2n ** 63n + 1n }),
      /places its ZIP64 record at byte 9223372036854775809/,
    ],
    [
      "a ZIP64 record where there is none",
      packArchive(ENTRIES, { isZip64: true, zip64Record: 5n }),
      /no ZIP64 record at byte 5/,
    ],
    [
      "two sizes of a stored entry",
      patched(good, "PK\x01\x02", 24, 4, 8),
      /stored entry of 8 bytes that takes 9/,
    ],
    [
      "an entry beyond the file",
      patched(good, "PK\x01\x02", 42, 4, 0xfffff),
      /at byte 1048575, expected it to end before/,
    ],
    ["two entries at one place", patched(good, "PK\x01\x02", 42, 4, 0), /expected it to end before 0/],
    ["a name longer than the directory", patched(good, "PK\x01\x02", 28, 2, 0xffff), /ends inside entry 2/],
    ["a header that is none", patched(good, "PK\x03\x04", 0, 4, 0), /no header of "a\/drei ☃" at byte/],
    ["a header of another name", packArchive([{ name: "a", data: "x", localName: "b" }]), /no header of "a"/],
    [
      "data that its own header pushes outside",
      patched(good, "PK\x03\x04", 28, 2, 0xfff),
      /expected it to end before/,
    ],
    ["two entries of one name", packArchive([ENTRIES[0]!, ENTRIES[0]!]), /two entries "a\/one"/],
    ["nothing", Buffer.alloc(0), /truncated or damaged/],
  ])("refuses %s", async (_, bytes, message) => {
    expect(directory).toBeGreaterThan(0);
    await expect(list(bytes)).rejects.toEqual(failure("CORRUPT", message));
  });

  test("refuses overlapping entries", async () => {
    const copy = Buffer.from(good);
    for (const field of [20, 24]) copy.writeUInt32LE(20, directory + field);
    await expect(list(copy)).rejects.toEqual(
      failure("CORRUPT", /"a\/one" of 20 bytes at byte 0, expected it to end/),
    );
  });

  test("refuses encrypted entries", async () => {
    await expect(list(patched(good, "PK\x01\x02", 8, 2, 1))).rejects.toEqual(
      failure("UNSUPPORTED", /encrypted/),
    );
  });
});
