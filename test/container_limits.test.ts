import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { availableProcessors, containerLimits } from "../lib/container_limits";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "eva-clip-limits-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function files(contents: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(contents)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

test("version 2: the smallest of the group and its ancestors", () => {
  files({
    "proc/self/cgroup": "0::/kubepods/pod1\n",
    "sys/fs/cgroup/kubepods/pod1/cpu.max": "150000 100000\n",
    "sys/fs/cgroup/kubepods/pod1/memory.max": "max\n",
    "sys/fs/cgroup/kubepods/cpu.max": "max 100000\n",
    "sys/fs/cgroup/kubepods/memory.max": "2147483648\n",
  });
  expect(containerLimits(root)).toEqual({ cpus: 1.5, memoryBytes: 2 ** 31 });
});

test("version 1, seen from inside a container", () => {
  files({
    "proc/self/cgroup": "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
  });
  expect(containerLimits(root)).toEqual({ cpus: 0.5, memoryBytes: 2 ** 30 });
});

test("no limits", () => {
  files({
    "proc/self/cgroup": "4:memory:/\n1:cpu:/\n0::/\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
  });
  expect(containerLimits(root)).toEqual({});
  expect(containerLimits(join(root, "nowhere"))).toEqual({});
});

describe("available processors", () => {
  const granted = (cpus: string) => {
    files({ "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": `${cpus}\n` });
    return availableProcessors(root);
  };

  test("a part of a processor counts as one", () => expect(granted("1000 100000")).toBe(1));

  test("a limit is rounded up, to at most the processors of the process", () => {
    expect(granted("100001 100000")).toBe(Math.min(2, availableParallelism()));
    expect(granted("100000 100000")).toBe(1);
    expect(granted("900000000 100000")).toBe(availableParallelism());
  });

  test("without a limit, the processors of the process", () => {
    expect(granted("max 100000")).toBe(availableParallelism());
    expect(availableProcessors(join(root, "nowhere"))).toBe(availableParallelism());
  });

  test("version 1", () => {
    files({
      "proc/self/cgroup": "2:cpu,cpuacct:/docker/abc\n",
      "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
      "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    });
    expect(availableProcessors(root)).toBe(1);
  });

  test("damaged files are no limit", () => {
    for (const text of ["", "x y", "100000", "-1 100000", "0 0", "100000 0"])
      expect([text, granted(text)]).toEqual([text, availableParallelism()]);
  });
});
