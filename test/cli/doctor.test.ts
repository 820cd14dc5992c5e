import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { containerLimits } from "../../lib/cli/doctor/container_limits";
import { selfTest } from "../../lib/cli/doctor/self_test";
import { captureCli } from "../support/run_cli";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "eva-clip-doctor-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function files(contents: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(contents)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
}

test("doctor reports the system, the devices, a self-test, and what auto chooses", async () => {
  const { code, out } = await captureCli("doctor", "--json");
  expect(code).toBe(0);
  const report = JSON.parse(out);
  expect(report).toMatchObject({
    package: expect.stringMatching(/^eva-clip \d/),
    node: expect.stringContaining(process.version),
    cores: expect.any(Number),
    libraries: {
      sharp: expect.stringMatching(/^\d.*libvips \d/),
      libsql: expect.stringMatching(/^SQLite 3/),
    },
    cpu: { available: true, selfTest: { passed: true } },
  });
  expect(report.cpu.selfTest.gflops).toBeGreaterThan(0);
  expect(report.cpu.selfTest.seconds).toBeLessThan(5);
  const { cuda, auto } = report;
  expect(auto).toEqual({
    device: cuda.available ? "cuda" : "cpu",
    reason: cuda.reason ?? "CUDA is available",
  });
});

test("doctor in words has one line per subject", async () => {
  const { out } = await captureCli("doctor");
  for (const subject of [
    "package",
    "Node.js",
    "system",
    "features",
    "container",
    "cpu test",
    "cuda",
    "auto",
  ]) {
    expect(out).toMatch(new RegExp(`^${subject} +\\S`, "m"));
  }
});

test("a device that hangs fails its self-test", async () => {
  const never = () => new Promise<never>(() => undefined);
  expect(await selfTest("cpu", never, 20)).toEqual({
    passed: false,
    reason: "no answer in 0.02 s: the device hangs",
  });
});

describe("limits of control groups", () => {
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
});
