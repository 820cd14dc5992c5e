import { spawn } from "node:child_process";
import fileSystem, { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockRun } from "../../lib/train/run/run_lock";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "eva-clip-lock-"));
});
afterAll(() => rm(folder, { recursive: true }));

const active = { code: "ERR_EVACLIP_RUN_ACTIVE" };

test("a folder has one run at a time; afterwards there is no trace of the lock", async () => {
  const directory = join(folder, "deep", "checkpoints");
  const lock = await lockRun(directory);
  await expect(lockRun(directory)).rejects.toMatchObject(active);
  await expect(lockRun(directory)).rejects.toThrow(`process ${process.pid}`);
  await lock.release();
  expect(await readdir(folder)).toEqual([]);

  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "latest"), "");
  await (await lockRun(directory)).release();
  expect(await readdir(directory)).toEqual(["latest"]);
});

test("a lock that cannot be written leaves nothing behind that keeps the next run out", async () => {
  const { open } = fileSystem;
  const spy = jest.spyOn(fileSystem, "open").mockImplementation(async (...given) => {
    const file = await open(...given);
    const writeFile = () => Promise.reject(Object.assign(new Error("ENOSPC: no"), { code: "ENOSPC" }));
    return Object.assign(file, { writeFile });
  });
  const full = { code: "ERR_EVACLIP_DISK_FULL" };
  const disk = await mkdtemp(join(folder, "full-"));
  await expect(lockRun(join(disk, "run", "checkpoints"))).rejects.toMatchObject(full);
  await expect(lockRun(disk)).rejects.toMatchObject(full);
  spy.mockRestore();
  expect(await readdir(disk)).toEqual([]);
});

test("of many at once, one gets it", async () => {
  const directory = join(folder, "many");
  const taken = await Promise.allSettled(Array.from({ length: 20 }, () => lockRun(directory)));
  const locks = taken.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  expect(locks).toHaveLength(1);
  await locks[0]!.release();
});

/** What a lock holds. */
async function ownerIn(directory: string): Promise<Record<string, unknown>> {
  const lock = await lockRun(directory);
  const owner = JSON.parse(await readFile(join(directory, "run.lock"), "utf8")) as Record<string, unknown>;
  await lock.release();
  return owner;
}

async function leftBehind(name: string, change: Record<string, unknown>, ageSeconds = 0): Promise<string> {
  const directory = join(folder, name);
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "keep"), "");
  const owner = { ...(await ownerIn(directory)), token: "theirs", ...change };
  const path = join(directory, "run.lock");
  await writeFile(path, JSON.stringify(owner));
  const then = new Date(Date.now() - 1000 * ageSeconds);
  await utimes(path, then, then);
  return directory;
}

test("the lock of a process that was killed is taken over at once", async () => {
  const child = spawn(process.execPath, ["-e", ""]);
  await new Promise((resolve) => child.on("close", resolve));
  const directory = await leftBehind("killed", { pid: child.pid });
  await (await lockRun(directory)).release();
  expect(await readdir(directory)).toEqual(["keep"]);
});

test("so it is when its process id belongs to another process by now", async () => {
  const directory = await leftBehind("reused", { pid: process.ppid, started: "1" });
  await (await lockRun(directory)).release();
});

test("that of a process that runs is not, however old", async () => {
  const { started: _, ...owner } = await ownerIn(join(folder, "other"));
  const directory = await leftBehind("alive", { ...owner, pid: process.ppid, started: null }, 1e6);
  await expect(lockRun(directory)).rejects.toMatchObject(active);
});

test("that of another host, or of a terminated thread, is while it is refreshed", async () => {
  for (const change of [{ host: "elsewhere" }, { pid: process.pid }]) {
    await expect(lockRun(await leftBehind("fresh", change, 5))).rejects.toMatchObject(active);
    await (await lockRun(await leftBehind("stale", change, 120))).release();
    await rm(join(folder, "fresh"), { recursive: true });
  }
});

test("a lock that was cut short counts until it is old", async () => {
  const directory = join(folder, "half");
  await mkdir(directory);
  const path = join(directory, "run.lock");
  await writeFile(path, "{");
  await expect(lockRun(directory)).rejects.toMatchObject(active);
  await utimes(path, 1, 1);
  await (await lockRun(directory)).release();
});

test("a process that exits takes its lock along", async () => {
  const directory = join(folder, "exits");
  const source = join(__dirname, "..", "..", "lib", "train", "run", "run_lock");
  const script = `require(${JSON.stringify(source)}).lockRun(${JSON.stringify(directory)}).then(() => process.exit(3))`;
  const child = spawn(process.execPath, ["-r", "ts-node/register/transpile-only", "-e", script], {
    cwd: join(__dirname, "..", ".."),
  });
  expect(await new Promise((resolve) => child.on("close", resolve))).toBe(3);
  expect(await readdir(directory)).toEqual([]);
});
