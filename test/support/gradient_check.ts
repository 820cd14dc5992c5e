import { compile, spec } from "../../lib/compile";
import type { Device } from "../../lib/device";
import { grad } from "../../lib/grad";
import { HostTensor } from "../../lib/host_tensor";
import { multiply } from "../../lib/ops/elementwise";
import { sum } from "../../lib/ops/reduce";
import { constant, type Tensor } from "../../lib/tensor";
import { dot, noise } from "./numbers";

/** An f32 input with these values, by default noise. */
export function f32(shape: readonly number[], data?: Float32Array, seed = 1): HostTensor<"f32"> {
  const size = shape.reduce((product, dim) => product * dim, 1);
  return new HostTensor("f32", shape, data ?? noise(size, seed));
}

export function i32(...data: number[]): HostTensor<"i32"> {
  return new HostTensor("i32", [data.length], Int32Array.from(data));
}

/** Runs `body` once. */
export async function evaluate(
  device: Device,
  inputs: Record<string, HostTensor>,
  body: (inputs: Record<string, Tensor>) => Tensor,
): Promise<HostTensor> {
  const specs = Object.fromEntries(
    Object.entries(inputs).map(([name, { dtype, shape }]) => [name, spec(dtype, shape)]),
  );
  const program = await compile(device, specs, (x) => ({ y: body(x) }));
  const data = Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, tensor.data]));
  const { y } = await program(data);
  program.dispose();
  return y;
}

export interface GradientCheckOptions {
  /** Step h of the finite differences, whose error is O(h⁴). Default 0.02. */
  step?: number;
  /** Tolerance of the slope, relative to the norm of the gradient. Default 1e-3. */
  tolerance?: number;
}

/**
 * Expects grad() of a random projection of body's result to agree with its finite differences along random directions of
 * each f32 input. A five-point stencil (f(x ± h), f(x ± 2 h)) and sums in double precision make this accurate in f32.
 * @returns the result of `body` at the inputs
 */
export async function checkGradients(
  device: Device,
  inputs: Record<string, HostTensor>,
  body: (inputs: Record<string, Tensor>) => Tensor,
  { step = 0.02, tolerance = 1e-3 }: GradientCheckOptions = {},
): Promise<Float32Array> {
  const names = Object.keys(inputs).filter((name) => inputs[name]!.dtype === "f32");
  const specs = Object.fromEntries(
    Object.entries(inputs).map(([name, { dtype, shape }]) => [name, spec(dtype, shape)]),
  );
  const data = Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, tensor.data]));
  let projection: Float32Array = new Float32Array();
  const program = await compile(device, specs, (x) => {
    const y = body(x);
    projection = noise(
      y.shape.reduce((product, dim) => product * dim, 1),
      77,
    );
    const gradients = grad(
      sum(multiply(y, constant(projection, y.shape))),
      names.map((name) => x[name]!),
    );
    const outputs: Record<string, Tensor> = { y };
    for (const [i, name] of names.entries()) outputs[`d ${name}`] = gradients[i]!;
    return outputs;
  });

  const results = await program(data);
  for (const [i, name] of names.entries()) {
    const gradient = results[`d ${name}`]!.data as Float32Array;
    const at = data[name] as Float32Array;
    for (const seed of [1, 2]) {
      const direction = noise(at.length, 100 * i + seed);
      const valueAt = async (distance: number) => {
        const moved = at.map((x, j) => x + distance * direction[j]!);
        const { y } = await program({ ...data, [name]: moved });
        return dot(y!.data, projection);
      };
      const near = (await valueAt(step)) - (await valueAt(-step));
      const far = (await valueAt(2 * step)) - (await valueAt(-2 * step));
      const slope = (8 * near - far) / (12 * step);
      const error = Math.abs(dot(gradient, direction) - slope) / (Math.sqrt(dot(gradient, gradient)) || 1);
      if (!(error < tolerance)) {
        throw new Error(`the gradient of ${name} is off by ${error.toExponential(2)} of its length`);
      }
    }
  }
  program.dispose();
  return results.y!.toFloat32();
}
