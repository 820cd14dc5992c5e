import { selfTest } from "../../lib/cli/doctor/self_test";
import { captureCli } from "../support/run_cli";

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
