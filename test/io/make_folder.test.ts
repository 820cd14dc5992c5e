import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeFolder } from "../../lib/io/make_folder";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-folder-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("creates missing folders, several at once too, and accepts existing ones", async () => {
  const path = join(folder, "a", "b", "c");
  await Promise.all([makeFolder(path), makeFolder(path), makeFolder(join(folder, "a"))]);
  await makeFolder(path);
  expect((await stat(path)).isDirectory()).toBe(true);
});

test.each(["/proc/eva-clip/x/y", "/proc/eva-clip", "/dev/null/x/y", `/tmp/${"x".repeat(300)}/y`])(
  "%s is refused, not tried for ever",
  async (path) => {
    await expect(makeFolder(path)).rejects.toThrow(/ENOENT|ENOTDIR|ENAMETOOLONG/);
  },
);

test("a file in place of a folder is an error", async () => {
  const path = join(folder, "file");
  await writeFile(path, "");
  const refused = { code: "ERR_EVACLIP_IO", message: expect.stringContaining(path) };
  await expect(makeFolder(path)).rejects.toMatchObject(refused);
  await expect(makeFolder(join(path, "x"))).rejects.toMatchObject(refused);
});
