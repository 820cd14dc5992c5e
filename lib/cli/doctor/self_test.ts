import { compile, Device, spec } from "../../graph";
import { EvaClip } from "../../index";
import { matmul } from "../../ops/linear";
import { CounterRandom } from "../../random";
import type { DeviceKind } from "../../native";

export type SelfTest =
  | { readonly passed: true; readonly seconds: number; readonly gflops: number }
  | { readonly passed: false; readonly reason: string };

const SIDE = 512;
const SECONDS = 1;
/** A device that has not answered by then hangs. The driver may first compile the kernels for a GPU that is newer than they. */
const LIMIT_MS = { cpu: 30_000, cuda: 300_000 } as const;
/** Of a sum of 512 products of about 1, in f32 or in the TF32 that tensor cores multiply in. */
const TOLERANCE = { cpu: 1e-4, cuda: 5e-2 } as const;
/** Rows of the product that are compared with a sum in f64. */
const CHECKED_ROWS = 4;

/** A model of every kind of layer, small enough to be compiled and run at once. */
const SMALL_MODEL = {
  embed_dim: 32,
  vision_cfg: {
    ...{ eva_model_name: "self-test", image_size: 32, width: 64, head_width: 32, patch_size: 8, layers: 2 },
    ...{ mlp_ratio: 2.6667, rope: true, subln: true, naiveswiglu: true },
  },
  text_cfg: { width: 64, heads: 2, layers: 2 },
};

function randomMatrix(stream: number): Float32Array {
  const random = new CounterRandom(stream);
  return Float32Array.from({ length: SIDE * SIDE }, () => random.uniform(-1, 1));
}

function largestError(a: Float32Array, b: Float32Array, product: Float32Array): number {
  let worst = 0;
  for (let i = 0; i < CHECKED_ROWS; i++) {
    for (let j = 0; j < SIDE; j++) {
      let sum = 0;
      for (let k = 0; k < SIDE; k++) sum += a[i * SIDE + k]! * b[k * SIDE + j]!;
      worst = Math.max(worst, Math.abs(sum - product[i * SIDE + j]!));
    }
  }
  return worst;
}

/** Multiplies matrices for about a second, and compares the product with a sum in f64. */
async function testProducts(device: Device): Promise<{ gflops: number; seconds: number }> {
  const [a, b] = [randomMatrix(1), randomMatrix(2)];
  const matrix = spec("f32", [SIDE, SIDE]);
  using program = await compile(device, { a: matrix, b: matrix }, ({ a, b }) => ({ y: matmul(a, b) }));
  const { y } = await program({ a, b });
  const error = largestError(a, b, y.data as Float32Array);
  if (!(error <= TOLERANCE[device.info.kind])) throw new Error(`a matrix product is wrong by ${error}`);
  const start = performance.now();
  let seconds = 0;
  let runs = 0;
  for (; seconds < SECONDS; runs++) {
    await program({ a, b });
    seconds = (performance.now() - start) / 1000;
  }
  return { gflops: Math.round((runs * 2 * SIDE ** 3) / seconds / 1e9), seconds: Number(seconds.toFixed(2)) };
}

/** Embeds an image and a caption; results that are not finite are errors of `EvaClip` itself. */
async function testModel(device: Device): Promise<void> {
  await using model = await EvaClip.create(SMALL_MODEL, { device });
  const { imageSize } = model;
  const pixels = new Uint8Array(imageSize * imageSize * 3).map((_, i) => i % 251);
  await model.encodeText("a self-test");
  const first = await model.encodePixels(pixels, 1);
  const second = await model.encodePixels(pixels, 1);
  if (!first.every((value, i) => value === second[i])) throw new Error("two runs of a model differ");
}

async function tested(kind: DeviceKind): Promise<SelfTest> {
  try {
    await using device = await Device.open(kind);
    await testModel(device);
    return { passed: true, ...(await testProducts(device)) };
  } catch (error) {
    return { passed: false, reason: (error as Error).message };
  }
}

/** Runs a small model and matrix products on a device, for about a second. Never rejects. */
export async function selfTest(
  kind: DeviceKind,
  test = tested,
  limitMs: number = LIMIT_MS[kind],
): Promise<SelfTest> {
  let timer: NodeJS.Timeout;
  const hanging = new Promise<SelfTest>((resolve) => {
    const reason = `no answer in ${limitMs / 1000} s: the device hangs`;
    timer = setTimeout(() => resolve({ passed: false, reason }), limitMs);
  });
  return Promise.race([test(kind), hanging]).finally(() => clearTimeout(timer));
}
