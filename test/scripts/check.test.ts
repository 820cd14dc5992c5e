import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

const repository = resolve(__dirname, "../..");

function check(root: string): { status: number | null; report: string } {
  const args = [join(repository, "scripts/check.mjs"), "--root", root];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  return { status, report: stderr };
}

/** Runs the check on a small tree that is in order except for `files`. */
function checkTree(files: Record<string, string>): { status: number | null; report: string } {
  const orderly = {
    "csrc/ops/all_ops.h": "using all_ops = op_list<scale>;\n",
    "csrc/ops/scale.h": "struct scale {\n};\n",
    "csrc/cpu/scale.cpp": '#include "ops/scale.h"\ntemplate <> void run<ops::scale>();\n',
    "lib/ops/scale.ts": 'apply("scale");\n',
    "test/ops/scale.test.ts": "",
  };
  const root = mkdtempSync(join(tmpdir(), "eva-clip-check-"));
  try {
    for (const [path, text] of Object.entries({ ...orderly, ...files })) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return check(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test("the repository keeps its own rules", () => {
  expect(check(repository)).toEqual({ status: 0, report: expect.stringContaining("all in order") });
});

test("an orderly tree passes", () => {
  expect(checkTree({})).toMatchObject({ status: 0 });
});

test.each<[string, Record<string, string>, string]>([
  [
    "an include against the arrows",
    { "csrc/ops/a.h": '#include "graph/graph.h"\n' },
    "csrc/ops may not include csrc/graph",
  ],
  ["<napi.h> outside csrc/napi", { "csrc/graph/a.h": "#include <napi.h>\n" }, "only csrc/napi may include"],
  [
    "an import against the arrows",
    { "lib/nn/a.ts": 'import { x } from "../models/b";\n' },
    "lib/nn may not import lib/models",
  ],
  ["an unknown layer", { "lib/extras/a.ts": "" }, "lib/extras is not in the table"],
  [
    "a second loader of the addon",
    { "lib/data/a.ts": 'require("node-gyp-build");\n' },
    "only lib/native.ts loads",
  ],
  [
    "an import cycle",
    { "lib/nn/a.ts": 'import { b } from "./b";\n', "lib/nn/b.ts": 'export {\n  a,\n} from "./a";\n' },
    "import cycle: lib/nn/a → lib/nn/b → lib/nn/a",
  ],
  [
    "a cycle of types alone",
    {
      "lib/nn/a.ts": 'import type { B } from "./b";\n',
      "lib/nn/b.ts": 'import type { A } from "./a";\n',
    },
    "import cycle: lib/nn/a → lib/nn/b → lib/nn/a",
  ],
  [
    "serving that imports training",
    { "lib/clip/a.ts": 'import { x } from "../train/b";\n' },
    "lib/clip may not import lib/train",
  ],
  [
    "an error code that the table lacks",
    { "lib/error_codes.ts": "", "lib/nn/a.ts": 'new EvaClipError("ERR_EVACLIP_NEW");\n' },
    "lib/nn/a.ts: ERR_EVACLIP_NEW is not in lib/error_codes.ts",
  ],
  ["an op without a kernel", { "csrc/cpu/scale.cpp": "\n" }, "op scale: no kernel in csrc/cpu/scale.cpp"],
  ["an op declared twice", { "csrc/ops/more.h": "struct scale {\n" }, "op scale: declared in 2 headers"],
  ["an op without a wrapper", { "lib/ops/scale.ts": "\n" }, "lib/ops/scale.ts does not wrap it"],
  [
    "device code that a host compiler reaches",
    {
      "csrc/cuda/table.cpp": '#include "cuda/scale.h"\n',
      "csrc/cuda/scale.h": '#include "cuda/scale.cuh"\n',
      "csrc/cuda/scale.cuh": "",
    },
    "csrc/cuda/table.cpp reaches device code: csrc/cuda/scale.h includes csrc/cuda/scale.cuh",
  ],
  [
    "a test for GPUs that includes the emulator",
    {
      "test/native/emulator/failures.h": "",
      "test/native/cuda/scale_test.cpp": '#include "failures.h"\n',
      "test/native/cuda/emulator_scale_test.cpp": '#include "failures.h"\n',
    },
    "test/native/cuda/scale_test.cpp:1: only tests named emulator_… may include the emulator's failures.h",
  ],
  [
    "an intrinsic outside the device primitives",
    { "csrc/cuda/scale.cu": "const int i = threadIdx.x;\n" },
    "csrc/cuda/scale.cu:1: only csrc/cuda/device may use threadIdx",
  ],
  [
    "a kernel that includes the graph",
    { "csrc/cuda/scale.cu": '#include "graph/graph.h"\n' },
    "csrc/cuda may not include csrc/graph",
  ],
  [
    "a mutation of text that its kernel does not contain",
    {
      "csrc/cuda/scale.cu": "y = x;\n",
      "test/native/cuda/scale_test.cpp": "",
      "test/native/cuda/mutations/scale.mjs":
        'export const mutations = [{ file: "scale.cu", changes: [["no factor", "factor * x", "x"]] }];\n',
    },
    'no factor: csrc/cuda/scale.cu contains "factor * x" 0 times',
  ],
  [
    "a mutation without a test",
    {
      "csrc/cuda/scale.cu": "y = x;\n",
      "test/native/cuda/mutations/scale.mjs":
        'export const mutations = [{ file: "scale.cu", changes: [["nothing", "y = x", "y = 0"]] }];\n',
    },
    "nothing: test/native/cuda/scale_test.cpp does not exist",
  ],
  ["a file too long", { "lib/nn/a.ts": "\n".repeat(401) }, "401 lines, 400 at most"],
  [
    "a buffer that Electron refuses",
    { "csrc/napi/a.cpp": `Napi::ArrayBuffer::${"New"}(env, data, bytes);\n` },
    "which Electron refuses",
  ],
  ["unfinished work", { "lib/nn/a.ts": `// TO${"DO"}: later\n` }, "unfinished work"],
  ["a machine's path", { "docs/a.md": `see /ho${"me"}/someone/x\n` }, "a path of one machine"],
  ["a vague name", { "lib/nn/utils.ts": "" }, "a name that says nothing"],
])("%s is found", (_name, files, message) => {
  const { status, report } = checkTree(files);
  expect(report).toContain(message);
  expect(status).toBe(1);
});
