// CUDA kernels use the device primitives of csrc/cuda/device, which have a host implementation for the
// emulator. No other file may use CUDA's own identifiers.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { forEachLine, listFiles } from "./source_tree.mjs";

const DEVICE = "csrc/cuda/device";
const HOST_IMPLEMENTATIONS = "test/native/emulator/cuda/device";

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

export function checkDeviceCode(root) {
  return [...checkIdentifiers(root), ...checkHostImplementations(root)];
}
