import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { replaceFile } from "../../lib/io/replace_file";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "replace-"));
});
afterEach(() => rm(folder, { recursive: true }));

const write = (text: string) => replaceFile(join(folder, "a.bin"), async (file) => file.writeFile(text));

/** The temporary file of a pending write. */
async function temporaryOfWrite(): Promise<string> {
  let name = "";
  await replaceFile(join(folder, "a.bin"), async () => {
    name = (await readdir(folder)).find((each) => each.endsWith(".tmp"))!;
  });
  return name;
}

test("files of killed writes are removed by the next write, those of pending writes are not", async () => {
  const own = await temporaryOfWrite();
  const of = (pid: number) => own.replace(`-${process.pid}-`, `-${pid}-`);
  const dead = spawnSync("true").pid!;
  const other = spawn("sleep", ["20"]);
  try {
    const names = [
      of(dead),
      of(other.pid!),
      own,
      "a.bin.0123abcd.tmp",
      "a.bin.old.tmp",
      "b.bin.0123abcd.tmp",
    ];
    for (const name of names) await writeFile(join(folder, name), "");
    const longAgo = new Date(Date.now() - 48 * 3600_000);
    for (const name of names.slice(3)) await utimes(join(folder, name), longAgo, longAgo);
    await write("x");
    expect((await readdir(folder)).sort()).toEqual(
      ["a.bin", "a.bin.old.tmp", "b.bin.0123abcd.tmp", of(other.pid!), own].sort(),
    );
    const before = new Date(Date.now() - process.uptime() * 1000 - 60_000);
    await utimes(join(folder, own), before, before);
    await write("y");
    expect(await readdir(folder)).not.toContain(own);
  } finally {
    other.kill();
  }
});

test("a process killed while writing leaves one temporary file, until the next write", async () => {
  const path = join(folder, "a.bin");
  const child = spawn(process.execPath, [
    "-e",
    `const fs = require("node:fs"); const [path] = process.argv.slice(1);
     fs.writeFileSync(path.replace("PID", process.pid), ""); console.log("ready"); setInterval(() => {}, 1000)`,
    join(folder, (await temporaryOfWrite()).replace(`-${process.pid}-`, "-PID-")),
  ]);
  await new Promise((resolve) => child.stdout.once("data", resolve));
  await write("while it runs");
  expect(await readdir(folder)).toHaveLength(2);
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("exit", resolve));
  await write("after");
  expect(await readdir(folder)).toEqual(["a.bin"]);
  expect(await readFile(path, "utf8")).toBe("after");
});

test("many writes at once", async () => {
  await Promise.all(Array.from({ length: 20 }, (_, i) => write(`write ${i}`)));
  expect(await readdir(folder)).toEqual(["a.bin"]);
  expect(await readFile(join(folder, "a.bin"), "utf8")).toMatch(/^write \d+$/);
});
