import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from "node:os";
import { type ListedDevice, listDevices } from "../../list_devices";
import { EXIT, type ExitCode } from "../exit_code";
import { columns, printResult } from "../output";
import { packageVersion } from "../package_version";
import type { DoctorFlags } from "./flags";

interface Report {
  package: string;
  node: string;
  os: string;
  glibc: string;
  processor: string;
  cores: number;
  memoryGiB: number;
  freeMemoryGiB: number;
  cpu: ListedDevice;
  cuda: ListedDevice;
}

function glibcVersion(): string {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime ?? "none";
}

const gibibytes = (bytes: number) => Number((bytes / 2 ** 30).toFixed(1));

async function examine(): Promise<Report> {
  const [cpu, cuda] = await listDevices();
  return {
    package: `eva-clip ${packageVersion}`,
    node: `${process.version} (Node-API ${process.versions.napi})`,
    os: `${platform()} ${arch()} ${release()}`,
    glibc: glibcVersion(),
    processor: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryGiB: gibibytes(totalmem()),
    freeMemoryGiB: gibibytes(freemem()),
    cpu,
    cuda,
  };
}

function describeDevice(device: ListedDevice): string {
  if (!device.available) return `not available: ${device.reason}`;
  const { info } = device;
  if (info.kind === "cuda") {
    const memory = `${gibibytes(device.memoryBytes)} GiB`;
    return `${info.name}, ${info.instructionSet}, ${memory}, driver ${info.driver}, ${info.library}`;
  }
  return `${info.name}, ${info.instructionSet} kernels, ${info.threads} threads, ${info.library}`;
}

function describe(report: Report): string {
  return columns([
    ["package", report.package],
    ["Node.js", report.node],
    ["system", `${report.os}, glibc ${report.glibc}`],
    ["processor", `${report.processor}, ${report.cores} cores`],
    ["memory", `${report.memoryGiB} GiB, ${report.freeMemoryGiB} GiB free`],
    ["cpu", describeDevice(report.cpu)],
    ["cuda", describeDevice(report.cuda)],
  ]);
}

/** Prints what this machine can do, also when the addon does not load. */
export async function diagnose({ json }: DoctorFlags): Promise<ExitCode> {
  const report = await examine();
  printResult(report, json, describe);
  return report.cpu.available ? EXIT.ok : EXIT.failure;
}
