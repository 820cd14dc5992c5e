import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CounterRandom } from "../../lib/random";
import { EvaClipError } from "../../lib/errors";
import { openPytorch } from "../../lib/io/pytorch/pytorch_file";
import { isFloatDtype, readFloat32, TENSOR_ARRAYS } from "../../lib/io/tensor_source";
import { ScratchFolder } from "../support/pytorch_archive";

const FIXTURES = join(__dirname, "../fixtures");
const ORIGINALS = [
  "eva02_b_fp16.pt",
  "eva02_b_fp16_wrapped.pt",
  "eva02_b_bf16.pt",
  "malicious.pt",
  ...["views", "types", "deepspeed", "nested", "protocol_5", "script"].map((name) => `pytorch/${name}.pt`),
].map((name) => readFileSync(join(FIXTURES, name)));

const COPIES = 200;
/** Far more than any copy takes on a busy machine; an unbounded or quadratic loop exceeds it. */
const MOST_MILLISECONDS = 10_000;
const MOST_HEAP_GROWTH = 256 * 1024 * 1024;
/** Tensors up to this many elements are read back; a mutated expansion may be larger. */
const MOST_ELEMENTS_READ = 1 << 20;

type Mutation = (bytes: Buffer, random: CounterRandom) => Buffer;

function flipBits(bytes: Buffer, random: CounterRandom, begin: number, end: number): Buffer {
  const flips = 1 + random.below(8);
  for (let i = 0; i < flips; i++) {
    const at = begin + random.below(Math.max(1, end - begin));
    if (at < bytes.length) bytes[at]! ^= 1 << random.below(8);
  }
  return bytes;
}

function pickleRange(bytes: Buffer): [begin: number, end: number] {
  const name = bytes.indexOf("data.pkl");
  const end = bytes.indexOf("PK", name + 8);
  return [name, end < 0 ? bytes.length : end];
}

/** Boundary values of sizes and offsets. */
const EDGES = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xfffffffe, 0xffffffff];

const MUTATIONS: Readonly<Record<string, Mutation>> = {
  "bits anywhere": (bytes, random) => flipBits(bytes, random, 0, bytes.length),
  "bits of the pickle": (bytes, random) => flipBits(bytes, random, ...pickleRange(bytes)),
  "bits of the directory": (bytes, random) =>
    flipBits(bytes, random, bytes.indexOf("PK\x01\x02", 0, "latin1"), bytes.length),
  "a shorter file": (bytes, random) => bytes.subarray(0, random.below(bytes.length)),
  "a piece missing": (bytes, random) => {
    const at = random.below(bytes.length);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(64))]);
  },
  "a byte of the pickle replaced": (bytes, random) => {
    const [begin, end] = pickleRange(bytes);
    bytes[begin + random.below(end - begin)] = random.below(256);
    return bytes;
  },
  "a number of a record replaced": (bytes, random) => {
    const signature = ["PK\x01\x02", "PK\x03\x04", "PK\x05\x06"][random.below(3)]!;
    const record = bytes.indexOf(signature, random.below(bytes.length), "latin1");
    const at = Math.max(record, 0) + 4 + 2 * random.below(20);
    if (at + 4 <= bytes.length) bytes.writeUInt32LE(EDGES[random.below(EDGES.length)]!, at);
    return bytes;
  },
  "two fields of a record exchanged": (bytes, random) => {
    const record = bytes.indexOf("PK\x01\x02", random.below(bytes.length), "latin1");
    const [from, to] = [20 + 2 * random.below(12), 20 + 2 * random.below(12)];
    if (record < 0 || record + 46 > bytes.length) return bytes.subarray(1);
    const kept = Buffer.from(bytes.subarray(record + from, record + from + 4));
    bytes.copy(bytes, record + from, record + to, record + to + 4);
    kept.copy(bytes, record + to);
    return bytes;
  },
};

/** Opens the file and reads its tensors. @returns the code of the error, or "read" */
async function outcome(path: string, fileBytes: number): Promise<string> {
  try {
    await using source = await openPytorch(path);
    for (const { dtype, shape, strides, offset, file } of source.tensors.values()) {
      const isEmpty = shape.includes(0);
      const last = shape.reduce((place, size, i) => place + (size - 1) * strides[i]!, 1);
      expect(offset).toBeGreaterThanOrEqual(0);
      expect(offset + (isEmpty ? 0 : last * TENSOR_ARRAYS[dtype].BYTES_PER_ELEMENT)).toBeLessThanOrEqual(
        fileBytes,
      );
      const elements = shape.reduce((product, size) => product * size, 1);
      if (isFloatDtype(dtype) && elements <= MOST_ELEMENTS_READ) {
        expect((await readFloat32({ dtype, shape, strides, offset, file })).length).toBe(elements);
      }
    }
    return "read";
  } catch (error) {
    if (error instanceof EvaClipError) return error.code;
    throw error;
  }
}

test(`${COPIES} damaged checkpoints are read within their bounds or refused with a code`, async () => {
  await using scratch = await ScratchFolder.create();
  const mutations = Object.entries(MUTATIONS);
  const counts: Record<string, number> = {};
  const heapBefore = process.memoryUsage().heapUsed;
  for (let seed = 0; seed < COPIES; seed++) {
    const random = new CounterRandom(seed);
    const [what, mutate] = mutations[seed % mutations.length]!;
    const original = ORIGINALS[random.below(ORIGINALS.length)]!;
    const bytes = mutate(Buffer.from(original), random);
    const path = await scratch.write(`damaged_${seed}.pt`, bytes);
    const begin = performance.now();
    const result = await outcome(path, bytes.length).catch((error: Error) => {
      throw new Error(`copy ${seed} (${what}): ${error.message}`, { cause: error });
    });
    expect({ seed, what, isQuick: performance.now() - begin < MOST_MILLISECONDS }).toMatchObject({
      isQuick: true,
    });
    counts[result] = (counts[result] ?? 0) + 1;
  }
  expect(process.memoryUsage().heapUsed - heapBefore).toBeLessThan(MOST_HEAP_GROWTH);
  const codes = Object.keys(counts).filter((code) => code !== "read");
  for (const code of codes) expect(code).toMatch(/^ERR_EVACLIP_CHECKPOINT_(CORRUPT|UNSAFE|UNSUPPORTED)$/);
  expect(counts.ERR_EVACLIP_CHECKPOINT_CORRUPT).toBeGreaterThan(COPIES / 3);
  expect(counts.read).toBeGreaterThan(0);
});
