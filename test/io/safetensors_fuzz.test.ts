// Damaged safetensors files: each is refused with a code, or read; none crashes the process or exhausts memory.
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CounterRandom } from "../../lib/random";
import { EvaClipError } from "../../lib/errors";
import { openTensors } from "../../lib/io/open_tensors";
import { writeSafetensors } from "../../lib/io/safetensors";
import { isFloatDtype, readFloat32 } from "../../lib/io/tensor_source";

const MUTATIONS = 100;
const HEADER_START = 8;

let directory: string;
beforeAll(async () => {
  directory = await fs.mkdtemp(join(tmpdir(), "fuzz-"));
});
afterAll(() => fs.rm(directory, { recursive: true }));

async function soundFile(): Promise<Buffer> {
  const path = join(directory, "sound");
  const halves = Uint16Array.from({ length: 600 }, (_, i) => i * 109);
  await writeSafetensors(
    path,
    [
      { name: "visual.proj.weight", dtype: "F32", shape: [20, 30], data: new Float32Array(600).fill(1) },
      { name: "visual.proj.half", dtype: "F16", shape: [30, 20], data: halves },
      { name: "text.bf16", dtype: "BF16", shape: [600], data: halves },
      { name: "step", dtype: "I64", shape: [], data: BigInt64Array.of(3n) },
    ],
    { format: "pt" },
  );
  return fs.readFile(path);
}

type Mutation = (bytes: Buffer, random: CounterRandom) => Buffer;

/** An offset in the header, where damage matters most. */
const placeIn = (bytes: Buffer, random: CounterRandom) =>
  HEADER_START + random.below(Number(bytes.readBigUInt64LE(0)));

const mutations: Record<string, Mutation> = {
  truncate: (bytes, random) => bytes.subarray(0, random.below(bytes.length)),
  "change a byte of the header": (bytes, random) => {
    bytes[placeIn(bytes, random)] = random.below(256);
    return bytes;
  },
  "change a digit": (bytes, random) => {
    const text = bytes.toString("latin1");
    const digits = [...text.slice(0, placeIn(bytes, random)).matchAll(/\d/g)];
    const place = digits.at(-1)?.index ?? 0;
    bytes[place] = 0x30 + random.below(10);
    return bytes;
  },
  "change the length": (bytes, random) => {
    bytes[random.below(HEADER_START)] = random.below(256);
    return bytes;
  },
  "leave bytes out": (bytes, random) => {
    const place = placeIn(bytes, random);
    return Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + 1 + random.below(9))]);
  },
  "put bytes in": (bytes, random) => {
    const place = placeIn(bytes, random);
    const inserted = Buffer.from(Array.from({ length: 1 + random.below(8) }, () => 0x20 + random.below(95)));
    return Buffer.concat([bytes.subarray(0, place), inserted, bytes.subarray(place)]);
  },
  "change data": (bytes, random) => {
    for (let i = 0; i < 8; i++) bytes[bytes.length - 1 - random.below(1000)] = random.below(256);
    return bytes;
  },
};

/** @returns the code of the error, or "read" */
async function outcomeOf(path: string, truncateTo?: number): Promise<string> {
  try {
    await using source = await openTensors(path);
    if (truncateTo !== undefined) await fs.truncate(path, truncateTo);
    for (const tensor of source.tensors.values()) {
      if (isFloatDtype(tensor.dtype)) await readFloat32(tensor);
    }
    return "read";
  } catch (error) {
    if (error instanceof EvaClipError) return error.code;
    throw error;
  }
}

test(`${MUTATIONS} damaged files are refused with a code or read`, async () => {
  const sound = await soundFile();
  const names = Object.keys(mutations);
  const outcomes = new Map<string, number>();
  const random = new CounterRandom(2024);
  const path = join(directory, "damaged");
  for (let i = 0; i < MUTATIONS; i++) {
    const mutate = mutations[names[i % names.length]!]!;
    await fs.writeFile(path, mutate(Buffer.from(sound), random));
    const outcome = await outcomeOf(path);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  expect([...outcomes.keys()].sort()).toEqual(["ERR_EVACLIP_CHECKPOINT_CORRUPT", "read"]);
  expect(outcomes.get("read")).toBeGreaterThan(MUTATIONS / names.length);
  expect(outcomes.get("ERR_EVACLIP_CHECKPOINT_CORRUPT")).toBeGreaterThan(MUTATIONS / 3);
});

test("files truncated between opening and reading", async () => {
  const sound = await soundFile();
  const random = new CounterRandom(7);
  const path = join(directory, "cut");
  for (let i = 0; i < 20; i++) {
    await fs.writeFile(path, sound);
    expect(await outcomeOf(path, random.below(sound.length - 2000))).toBe("ERR_EVACLIP_IO");
  }
});
