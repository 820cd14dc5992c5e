import { type ListedDevice, listDevices } from "../../list_devices";
import { EXIT, type ExitCode } from "../exit_code";
import { columns, printResult } from "../output";
import type { DoctorFlags } from "./flags";
import { type SelfTest, selfTest } from "./self_test";
import { examineSystem, gibibytes, type System } from "./system";

/** A device and, if it is available, what its self-test found. */
type Examined = ListedDevice & { selfTest?: SelfTest };

interface Report extends System {
  cpu: Examined;
  cuda: Examined;
  /** What the device choice `auto` takes here, and why. */
  auto: { device: "cpu" | "cuda" | "none"; reason: string };
}

async function examined(device: ListedDevice): Promise<Examined> {
  return device.available ? { ...device, selfTest: await selfTest(device.kind) } : device;
}

function choiceOf(cpu: ListedDevice, cuda: ListedDevice): Report["auto"] {
  if (cuda.available) return { device: "cuda", reason: "CUDA is available" };
  return { device: cpu.available ? "cpu" : "none", reason: cuda.reason };
}

async function examine(): Promise<Report> {
  const [cpu, cuda] = await listDevices();
  // One after the other: each takes all processors.
  const results = { cpu: await examined(cpu), cuda: await examined(cuda) };
  return { ...examineSystem(), ...results, auto: choiceOf(cpu, cuda) };
}

function describeDevice(device: ListedDevice): string {
  if (!device.available) {
    const { reason, needed, found } = device;
    return `not available: ${reason}${needed === undefined ? "" : ` (have: ${found}; need: ${needed})`}`;
  }
  const { info } = device;
  if (info.kind === "cuda") {
    const memory = `${gibibytes(device.memoryBytes)} GiB`;
    return `${info.name}, ${info.instructionSet}, ${memory}, driver ${info.driver}, ${info.library}`;
  }
  return `${info.name}, ${info.instructionSet} kernels, ${info.threads} threads, ${info.library}`;
}

function describeTest({ kind, selfTest }: Examined): [string, string][] {
  if (selfTest === undefined) return [];
  const result = selfTest.passed
    ? `passed: a small model, and products of 512 × 512 matrices at ${selfTest.gflops} GFLOP/s for ${selfTest.seconds} s`
    : `FAILED: ${selfTest.reason}`;
  return [[`${kind} test`, result]];
}

function describeContainer({ container: { cpus, memoryBytes } }: System): string {
  const memory = memoryBytes === undefined ? "no memory limit" : `${gibibytes(memoryBytes)} GiB of memory`;
  return `${cpus === undefined ? "no CPU limit" : `${Number(cpus.toFixed(2))} CPUs`}, ${memory}`;
}

function describe(report: Report): string {
  return columns([
    ["package", report.package],
    ["Node.js", report.node],
    ["system", `${report.os}, kernel ${report.kernel}, glibc ${report.glibc}`],
    ["processor", `${report.processor}, ${report.cores} cores`],
    ["features", report.cpuFeatures.join(" ") || "unknown"],
    ["memory", `${report.memoryGiB} GiB, ${report.freeMemoryGiB} GiB free`],
    ["container", describeContainer(report)],
    ...Object.entries(report.libraries),
    ["cpu", describeDevice(report.cpu)],
    ...describeTest(report.cpu),
    ["cuda", describeDevice(report.cuda)],
    ...describeTest(report.cuda),
    ["auto", `${report.auto.device}: ${report.auto.reason}`],
  ]);
}

/** Prints what this machine can do, also when the addon does not load. */
export async function diagnose({ json }: DoctorFlags): Promise<ExitCode> {
  const report = await examine();
  printResult(report, json, describe);
  const failed = [report.cpu, report.cuda].some(({ selfTest }) => selfTest?.passed === false);
  return report.cpu.available && !failed ? EXIT.ok : EXIT.failure;
}
