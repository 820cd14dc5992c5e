// CUDA kernels are written over the vocabulary of csrc/cuda/device, which has a host twin: nothing else may name
// what only a GPU has.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { forEachLine, listFiles } from "./source_tree.mjs";

const DEVICE = "csrc/cuda/device";
const TWINS = "test/native/emulator/cuda/device";

/** Words that only the vocabulary may use, and <cuda…> headers. */
const INTRINSICS =
  /\b(threadIdx|blockIdx|blockDim|gridDim|__shared__|asm|__asm__|__syncthreads|__syncwarp|__ldg|atomic[A-Z]\w*|__(shfl|ballot|any|all|reduce)\w*_sync|__nv_bfloat162?|__cvta\w+|__CUDA_ARCH__)\b|<<<|#\s*include\s*<(cuda|mma|cooperative_groups)/;

function checkWords(root) {
  const problems = [];
  const kernels = listFiles(root, "csrc/cuda").filter((path) => /\.cuh?$/.test(path));
  for (const path of kernels.filter((file) => !file.startsWith(`${DEVICE}/`))) {
    forEachLine(root, path, (line, number) => {
      const [word] = INTRINSICS.exec(line.replace(/\/\/.*$/, "")) ?? [];
      if (word !== undefined)
        problems.push(`${path}:${number}: only ${DEVICE} may name ${word.trim()}: use or add a word there`);
    });
  }
  return problems;
}

/** A twin stands in for a header of the same name; without the name it stands in for nothing. */
function checkTwins(root) {
  return listFiles(root, TWINS)
    .filter((path) => !existsSync(join(root, path.replace(TWINS, DEVICE))))
    .map((path) => `${path}: a twin of nothing in ${DEVICE}`);
}

export function checkDeviceCode(root) {
  return [...checkWords(root), ...checkTwins(root)];
}
