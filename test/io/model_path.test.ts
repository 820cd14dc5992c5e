import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exists } from "../../lib/io/model_path";

const folder = mkdtempSync(join(tmpdir(), "eva-clip-path-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("exists is true for files and folders, and false for nothing, also below a file", async () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  const paths = [folder, file, join(folder, "none"), join(file, "none")];
  expect(await Promise.all(paths.map(exists))).toEqual([true, true, false, false]);
});

test("exists refuses to guess about a path that cannot be read, or is neither file nor folder", async () => {
  const pipe = join(folder, "pipe");
  execFileSync("mkfifo", [pipe]);
  for (const path of [pipe, join(folder, "x".repeat(300))])
    await expect(exists(path)).rejects.toMatchObject({ code: "ERR_EVACLIP_IO" });
});
