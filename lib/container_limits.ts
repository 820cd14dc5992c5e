import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path/posix";

/** What a control group grants this process; undefined without a limit. */
export interface ContainerLimits {
  /** CPU time per second of wall time, in processors. */
  readonly cpus?: number;
  readonly memoryBytes?: number;
}

/** Version 1 writes a number of about 2⁶³ where there is no limit. */
const LARGEST_LIMIT = 2 ** 60;

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}

/** The folders of a control group and its ancestors, innermost first: "/a/b" → "/a/b", "/a", "/". */
function withAncestors(path: string): string[] {
  const folders = [path];
  while (folders.at(-1) !== "/" && folders.at(-1) !== ".") folders.push(dirname(folders.at(-1)!));
  return folders;
}

function smallest(values: readonly (number | undefined)[]): number | undefined {
  const limits = values.filter((value) => value !== undefined && value > 0 && value < LARGEST_LIMIT);
  return limits.length > 0 ? Math.min(...(limits as number[])) : undefined;
}

/** cpu.max of version 2: "150000 100000" is 1.5 processors, "max 100000" no limit. */
function cpusOfVersion2(folder: string): number | undefined {
  const [quota, period] = (textOf(join(folder, "cpu.max")) ?? "").split(" ").map(Number);
  return quota! / period! || undefined;
}

function cpusOfVersion1(folder: string): number | undefined {
  const quota = Number(textOf(join(folder, "cpu.cfs_quota_us")) ?? -1);
  return quota > 0 ? quota / Number(textOf(join(folder, "cpu.cfs_period_us"))) : undefined;
}

/**
 * The limits of this process's control groups, version 1 or 2, with their ancestors.
 * @param root a prefix of every path, for tests
 */
export function containerLimits(root = ""): ContainerLimits {
  const groups = (textOf(`${root}/proc/self/cgroup`) ?? "").split("\n").map((line) => {
    const [, controllers = "", ...path] = line.split(":");
    return { controllers: controllers.split(","), path: path.join(":") || "/" };
  });
  const foldersOf = (controller: string) =>
    groups
      .filter(({ controllers }) => controllers.includes(controller))
      .flatMap(({ path }) => withAncestors(path))
      .map((path) => join(root || "/", "sys/fs/cgroup", controller, path));
  const cpus = smallest([...foldersOf("").map(cpusOfVersion2), ...foldersOf("cpu").map(cpusOfVersion1)]);
  const memoryBytes = smallest([
    ...foldersOf("").map((folder) => Number(textOf(join(folder, "memory.max")))),
    ...foldersOf("memory").map((folder) => Number(textOf(join(folder, "memory.limit_in_bytes")))),
  ]);
  return { ...(cpus !== undefined && { cpus }), ...(memoryBytes !== undefined && { memoryBytes }) };
}

/**
 * Processors that this process may use: those of its affinity, at most what its control groups grant, rounded up.
 * @param root as for `containerLimits`
 */
export function availableProcessors(root = ""): number {
  const { cpus = Number.POSITIVE_INFINITY } = containerLimits(root);
  return Math.min(availableParallelism(), Math.ceil(cpus));
}
