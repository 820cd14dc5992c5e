import { openSafetensors } from "../../lib/io/safetensors";

/** A reference model with its inputs and the published code's outputs. */
export interface Fixture {
  path: string;
  config: unknown;
  /** The optimizer's settings; undefined if the file has no optimizer steps. */
  optimizer: FixtureOptimizer | undefined;
  tensors: ReadonlyMap<string, FixtureTensor>;
}

export interface FixtureTensor {
  shape: readonly number[];
  /** f32 as stored; 64-bit integers narrowed to 32. */
  data: Float32Array | Int32Array;
}

export interface FixtureOptimizer {
  visual_lr: number;
  text_lr: number;
  lr: number;
  visual_wd: number;
  text_wd: number;
  wd: number;
  visual_ld: number;
  text_ld: number;
  beta1: number;
  beta2: number;
  eps: number;
  warmup: number;
  total_steps: number;
  max_grad_norm: number;
}

export async function readFixture(path: string): Promise<Fixture> {
  await using file = await openSafetensors(path);
  const { config, optimizer } = file.metadata;
  if (config === undefined) throw new Error(`${path} has no configuration in its metadata`);
  const tensors = new Map<string, FixtureTensor>();
  for (const [name, { shape }] of file.tensors) {
    const data = await file.read(name);
    const integers = data instanceof BigInt64Array;
    tensors.set(name, { shape, data: integers ? Int32Array.from(data, Number) : (data as Float32Array) });
  }
  const hasSteps = tensors.has("lamb/loss_step0");
  return {
    path,
    config: JSON.parse(config),
    optimizer: optimizer !== undefined && hasSteps ? JSON.parse(optimizer) : undefined,
    tensors,
  };
}

/** The tensor of that name. */
export function tensorOf({ path, tensors }: Fixture, name: string): FixtureTensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new Error(`${path} has no ${name}`);
  return tensor;
}

/** The tensors below `prefix`, keyed by the rest of their names. */
export function tensorsBelow({ tensors }: Fixture, prefix: string): Map<string, FixtureTensor> {
  const below = [...tensors].filter(([name]) => name.startsWith(prefix));
  return new Map(below.map(([name, tensor]) => [name.slice(prefix.length), tensor]));
}
