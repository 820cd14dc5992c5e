// CUDA kernels use the device primitives of csrc/cuda/device, which have a host implementation for the
// emulator. No other file may use CUDA's own identifiers, and no .cpp file reaches a .cuh: a host compiler compiles it, for
// which the emulator's headers are not a test.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { forEachLine, listFiles } from "./source_tree.mjs";

const DEVICE = "csrc/cuda/device";
const EMULATOR = "test/native/emulator";
const HOST_IMPLEMENTATIONS = `${EMULATOR}/cuda/device`;
const TESTS = "test/native/cuda";

/** CUDA's identifiers and headers. */
const INTRINSICS =
  /\b(threadIdx|blockIdx|blockDim|gridDim|__shared__|asm|__asm__|__syncthreads|__syncwarp|__ldg|atomic[A-Z]\w*|__(shfl|ballot|any|all|reduce)\w*_sync|__nv_bfloat162?|__cvta\w+|__CUDA_ARCH__)\b|<<<|#\s*include\s*<(cuda|mma|cooperative_groups)/;

function checkIdentifiers(root) {
  const problems = [];
  const kernels = listFiles(root, "csrc/cuda").filter((path) => /\.cuh?$/.test(path));
  for (const path of kernels.filter((file) => !file.startsWith(`${DEVICE}/`))) {
    forEachLine(root, path, (line, number) => {
      const [name] = INTRINSICS.exec(line.replace(/\/\/.*$/, "")) ?? [];
      if (name !== undefined)
        problems.push(
          `${path}:${number}: only ${DEVICE} may use ${name.trim()}: use or add a device primitive`,
        );
    });
  }
  return problems;
}

/** A host implementation replaces the header of the same name, which must exist. */
function checkHostImplementations(root) {
  return listFiles(root, HOST_IMPLEMENTATIONS)
    .filter((path) => !existsSync(join(root, path.replace(HOST_IMPLEMENTATIONS, DEVICE))))
    .map((path) => `${path}: ${DEVICE} has no header of this name`);
}

/** Every .cuh that the .cpp files include, directly or not. */
function checkHostFiles(root) {
  const problems = [];
  for (const path of listFiles(root, "csrc/cuda").filter((file) => file.endsWith(".cpp"))) {
    const includedBy = new Map([[path, undefined]]);
    for (const file of includedBy.keys()) {
      if (file.endsWith(".cuh"))
        problems.push(`${path} reaches device code: ${includedBy.get(file)} includes ${file}`);
      forEachLine(root, file, (line) => {
        const [, name] = /^#include "(.+)"/.exec(line) ?? [];
        const included = `csrc/${name}`;
        if (name && !includedBy.has(included) && existsSync(join(root, included)))
          includedBy.set(included, file);
      });
    }
  }
  return problems;
}

/** The other tests are programs for a GPU, too, and know nothing of the emulator. */
function checkTests(root) {
  const problems = [];
  const tests = listFiles(root, TESTS).filter((path) =>
    /^(?!emulator_)[^/]*\.(cpp|h)$/.test(path.slice(TESTS.length + 1)),
  );
  for (const path of tests) {
    forEachLine(root, path, (line, number) => {
      const [, name] = /^#include "(\w[^"]*)"/.exec(line) ?? [];
      if (name && existsSync(join(root, EMULATOR, name)) && !existsSync(join(root, "csrc", name)))
        problems.push(`${path}:${number}: only tests named emulator_… may include the emulator's ${name}`);
    });
  }
  return problems;
}

export function checkDeviceCode(root) {
  return [checkIdentifiers, checkHostImplementations, checkHostFiles, checkTests].flatMap((check) =>
    check(root),
  );
}
