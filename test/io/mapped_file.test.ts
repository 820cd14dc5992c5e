import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MappedFile } from "../../lib/io/mapped_file";

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await fs.mkdtemp(join(tmpdir(), "mapped-"));
  path = join(directory, "file");
  await fs.writeFile(path, "abcdef");
});
afterEach(() => fs.rm(directory, { recursive: true }));

test("bytes are a copy of a range", async () => {
  const file = await MappedFile.open(path);
  expect(file.size).toBe(6);
  const bytes = file.bytes(1, 4);
  expect(Buffer.from(bytes).toString()).toBe("bcd");
  bytes[0] = 0;
  expect(Buffer.from(file.bytes(1, 2)).toString()).toBe("b");
  expect(file.bytes(6, 6).length).toBe(0);
  file.close();
});

test.each([
  [-1, 2],
  [3, 2],
  [0, 7],
  [0.5, 2],
  [0, Number.NaN],
  [0, 2 ** 60],
])("bytes %d to %d are refused", async (begin, end) => {
  const file = await MappedFile.open(path);
  const code = "ERR_EVACLIP_INVALID_ARGUMENT";
  expect(() => file.bytes(begin, end)).toThrow(expect.objectContaining({ code }));
  file.close();
});

test("a missing file and a folder cannot be opened", async () => {
  const code = "ERR_EVACLIP_IO";
  await expect(MappedFile.open(join(directory, "none"))).rejects.toMatchObject({
    code,
    message: expect.stringMatching(/none/),
  });
  await expect(MappedFile.open(directory)).rejects.toMatchObject({
    code,
    message: expect.stringMatching(/is a folder; expected a file/),
  });
});

test("a truncated file is an error", async () => {
  const file = await MappedFile.open(path);
  await fs.truncate(path, 3);
  expect(() => file.bytes(0, 6)).toThrow(expect.objectContaining({ code: "ERR_EVACLIP_IO" }));
  expect(Buffer.from(file.bytes(0, 3)).toString()).toBe("abc");
  file.close();
});

test("nothing can be read after close, which may be repeated", async () => {
  const file = await MappedFile.open(path);
  file.close();
  file.close();
  expect(() => file.bytes(0, 1)).toThrow(expect.objectContaining({ code: "ERR_EVACLIP_DISPOSED" }));
});
