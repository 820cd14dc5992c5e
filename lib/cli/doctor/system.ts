import { readFileSync } from "node:fs";
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from "node:os";
import { packageVersion } from "../package_version";
import { type ContainerLimits, containerLimits } from "../../container_limits";

export interface System {
  package: string;
  node: string;
  os: string;
  kernel: string;
  glibc: string;
  processor: string;
  /** The processor's instruction sets that kernels or libraries use. */
  cpuFeatures: string[];
  /** Processors that this process may run on. */
  cores: number;
  memoryGiB: number;
  freeMemoryGiB: number;
  container: ContainerLimits;
  /** Versions of the native libraries next to the addon; a reason in place of one that does not load. */
  libraries: Record<string, string>;
}

/** Names in /proc/cpuinfo of the instruction sets in use, oldest first. */
const FEATURES = [
  ...["sse4_2", "avx", "f16c", "fma", "avx2", "bmi2"],
  ...["avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8"],
];

export const gibibytes = (bytes: number) => Number((bytes / 2 ** 30).toFixed(1));

function fileText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function glibcVersion(): string {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime ?? "none";
}

function cpuFeatures(): string[] {
  const [, flags = ""] = /^flags\s*:\s*(.*)$/m.exec(fileText("/proc/cpuinfo")) ?? [];
  const present = new Set(flags.split(" "));
  return FEATURES.filter((feature) => present.has(feature));
}

function versionOf(load: () => string): string {
  try {
    return load();
  } catch (error) {
    return `does not load: ${(error as Error).message.split("\n")[0]}`;
  }
}

function libraryVersions(): Record<string, string> {
  const sharp = () => (require("sharp") as { versions: { sharp?: string; vips: string } }).versions;
  return {
    sharp: versionOf(() => `${sharp().sharp}, libvips ${sharp().vips}`),
    libsql: versionOf(() => {
      const Database = require("libsql") as typeof import("libsql");
      const database = new Database(":memory:");
      try {
        const { version } = database.prepare("select sqlite_version() as version").get() as {
          version: string;
        };
        return `SQLite ${version}`;
      } finally {
        database.close();
      }
    }),
  };
}

export function examineSystem(): System {
  const [, name] = /^PRETTY_NAME="?([^"\n]*)/m.exec(fileText("/etc/os-release")) ?? [];
  return {
    package: `eva-clip ${packageVersion}`,
    node: `${process.version} (Node-API ${process.versions.napi})`,
    os: `${name ?? platform()} ${arch()}`,
    kernel: release(),
    glibc: glibcVersion(),
    processor: cpus()[0]?.model.trim() ?? "unknown",
    cpuFeatures: cpuFeatures(),
    cores: availableParallelism(),
    memoryGiB: gibibytes(totalmem()),
    freeMemoryGiB: gibibytes(freemem()),
    container: containerLimits(),
    libraries: libraryVersions(),
  };
}
