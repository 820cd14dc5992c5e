// Temporary files are named after the process that writes them, so that others recognize those of one that has ended.
import { createHash, randomBytes } from "node:crypto";
import { hostname } from "node:os";

/** Identifies this machine among those that share a folder. */
const machine = createHash("sha256").update(hostname()).digest("hex").slice(0, 8);

const NAME = /^([0-9a-f]{8})-(\d+)-[0-9a-f]{8}$/;

/** A new name of this process: `<machine>-<process>-<random>`. */
export function newWriter(): string {
  return `${machine}-${process.pid}-${randomBytes(4).toString("hex")}`;
}

export function isWriter(name: string): boolean {
  return NAME.test(name);
}

/** Whether a writer is of this process. */
export function isOwnWriter(name: string): boolean {
  return name.startsWith(`${machine}-${process.pid}-`);
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

/**
 * Whether a writer's process has ended; false for one on another machine.
 * @param ageMs time since its file was modified
 */
export function hasEnded(name: string, ageMs: number): boolean {
  const [, host, id] = NAME.exec(name) ?? [];
  if (host !== machine) return false;
  const pid = Number(id);
  // In a container a process often has the same id as the previous one; another thread has this id, too.
  return pid === process.pid ? ageMs > process.uptime() * 1000 : !isRunning(pid);
}
