import { execFileSync, spawnSync } from "node:child_process";
import { join, resolve } from "node:path";

const root = resolve(__dirname, "../..");
const emulation = join(root, "build", "Release", "libeva_clip_cuda_emulation.so");
const cublasLt = join(root, "build", "native-Release", "test", "native", "cuda", "libcublasLt.so.13");

/** Runs a program of test/parity with the emulated GPU, whose library requires AddressSanitizer to be preloaded. */
function runEmulated(program: string, ...args: string[]) {
  const asan = execFileSync("c++", ["-print-file-name=libasan.so"], { encoding: "utf8" }).trim();
  // A low priority, because tests that measure time run in parallel.
  const words = [
    "-n",
    "15",
    process.execPath,
    "-C",
    "eva-clip-source",
    "-r",
    "ts-node/register/transpile-only",
    join(root, "test", "parity", program),
    ...args,
  ];
  const { status, stdout, stderr } = spawnSync("nice", words, {
    cwd: root,
    encoding: "utf8",
    env: {
      ...process.env,
      LD_PRELOAD: asan,
      ASAN_OPTIONS: "detect_leaks=0",
      EVA_CLIP_CUDA_LIBRARY: emulation,
      EVA_CLIP_CUBLASLT: cublasLt,
      EVA_CLIP_CUDA_AUTOTUNE: "0",
    },
  });
  if (status !== 0) throw new Error(`${stdout}\n${stderr}`);
  return stdout;
}

const fixture = (name: string) => join(root, "test", "fixtures", `${name}.safetensors`);

// The emulator switches stacks with x86-64 assembly.
const emulatedTest = process.arch === "x64" ? test : test.skip;

emulatedTest(
  "a whole model trains on the emulated CUDA backend as the published code does, captured and replayed",
  () => {
    const line = JSON.parse(runEmulated("parity.ts", "--device", "cuda", fixture("eva02_b")));
    expect(line).toMatchObject({ ok: true });
  },
  600_000,
);

emulatedTest(
  "the emulated CUDA backend agrees with the CPU in f32, is as exact in bf16, and its replays repeat its bits",
  () => {
    const printed = runEmulated("device_agreement.ts", "--draws", "8", fixture("eva02_b"));
    const [f32, bf16] = printed
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(f32).toMatchObject({ type: "f32", repeats: true });
    expect(bf16).toMatchObject({ type: "bf16", draws: 8, repeats: true });
  },
  600_000,
);

emulatedTest(
  "inputs are staged beside the work of the emulated CUDA backend, and calls that wait for a slot end with the program",
  () => {
    const line = JSON.parse(runEmulated("staged_inputs.ts"));
    expect(line).toEqual({ equal: true, slotBytes: 2 * 2 ** 20, code: "ERR_EVACLIP_DISPOSED" });
  },
  600_000,
);

emulatedTest(
  "an index out of range is an error that names op and input, as on the CPU, and the device stays usable",
  () => {
    const { cpu, cuda } = JSON.parse(runEmulated("index_errors.ts", fixture("eva02_b")));
    expect(cuda).toEqual(cpu);
    expect(cpu).toEqual([
      expect.stringMatching(/^kept.*: ERR_EVACLIP_DATA patch_rows kept$/),
      expect.stringMatching(/^tokens.*: ERR_EVACLIP_DATA embedding tokens$/),
      expect.stringMatching(/^cuSeqlens.*: ERR_EVACLIP_DATA embedding cu_seqlens$/),
      expect.stringMatching(/^textEnds.*: ERR_EVACLIP_DATA gather_rows index$/),
    ]);
  },
  600_000,
);
