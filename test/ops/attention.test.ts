import { compile, spec } from "../../lib/compile";
import { Device } from "../../lib/device";
import { grad } from "../../lib/grad";
import { ropeTable } from "../../lib/nn/rope";
import { attention } from "../../lib/ops/attention";
import { multiply } from "../../lib/ops/elementwise";
import { sum } from "../../lib/ops/reduce";
import { constant } from "../../lib/tensor";

interface Problem {
  lengths: number[];
  heads: number;
  headDim: number;
  causal?: boolean;
  packed?: boolean;
  /** G: RoPE over a G × G grid. */
  grid?: number;
  /** Whether tokens were dropped; the kept patches of each sequence are then an input. */
  dropped?: boolean;
}

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

/** Pseudo-random numbers of mean 0 and variance 1. */
function noise(count: number, seed: number): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32 - 0.5) * Math.sqrt(12);
  });
}

type Inputs = ReturnType<typeof inputsOf>;

/** The contents of a problem's tensors. */
function inputsOf({ lengths, heads, headDim, grid = 0, dropped }: Problem) {
  const starts = [0];
  for (const n of lengths) starts.push(starts.at(-1)! + n);
  const rows = starts.at(-1)!;
  const patches = lengths.flatMap((n, b) =>
    Array.from({ length: n - 1 }, (_, i) => (dropped ? (i * 7 + b * 3) % (grid * grid) : i)),
  );
  return {
    rows,
    starts: Int32Array.from(starts),
    patches: Int32Array.from(patches),
    rope: grid ? ropeTable({ grid, headDim }) : undefined,
    qkv: noise(rows * heads * headDim * 3, 1),
    dout: noise(rows * heads * headDim, 2),
  };
}

/** softmax(q kᵀ / sqrt(D)) v in double precision, one query after another. */
function reference(problem: Problem, inputs: Inputs, qkv: ArrayLike<number>): Float64Array {
  const { lengths, heads, headDim: d, causal } = problem;
  const width = heads * d;
  const out = new Float64Array(inputs.rows * width);
  lengths.forEach((n, b) => {
    const begin = inputs.starts[b]!;
    for (let h = 0; h < heads; h++) {
      const part = (which: number) =>
        Array.from({ length: n }, (_, i) => {
          const at = (begin + i) * 3 * width + which * width + h * d;
          const row = Float64Array.from({ length: d }, (_, j) => qkv[at + j]!);
          if (which < 2 && i > 0 && inputs.rope) rotate(row, inputs, problem, begin - b + i - 1);
          return row;
        });
      const [q, k, v] = [part(0), part(1), part(2)];
      for (let i = 0; i < n; i++) {
        const seen = causal ? i + 1 : n;
        const scores = k.slice(0, seen).map((key) => dot(q[i]!, key) / Math.sqrt(d));
        const peak = Math.max(...scores);
        const powers = scores.map((s) => Math.exp(s - peak));
        const total = powers.reduce((a, p) => a + p, 0);
        powers.forEach((p, key) => {
          for (let j = 0; j < d; j++) out[(begin + i) * width + h * d + j]! += (p / total) * v[key]![j]!;
        });
      }
    }
  });
  return out;
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! * b[i]!;
  return total;
}

/** RoPE: rotates each pair of a head by the angle of its patch's row (first half) or column (second half). */
function rotate(row: Float64Array, inputs: Inputs, problem: Problem, token: number): void {
  const patch = inputs.patches[token]!;
  const grid = problem.grid!;
  const half = row.length / 2;
  for (let j = 0; j < row.length; j += 2) {
    const coordinate = j < half ? Math.floor(patch / grid) : patch % grid;
    const [cos, sin] = inputs.rope!.subarray(coordinate * half + (j % half));
    const [x, y] = [row[j]!, row[j + 1]!];
    row[j] = x * cos! - y * sin!;
    row[j + 1] = y * cos! + x * sin!;
  }
}

/** attention of `qkv` and the gradient of sum(out · dout), by the native kernels. */
async function native(problem: Problem, inputs: Inputs) {
  const { lengths, heads, headDim, causal = false, packed, grid = 0, dropped } = problem;
  const width = heads * headDim;
  const leading = packed ? [inputs.rows] : [lengths.length, lengths[0]!];
  const program = await compile(device, { qkv: spec("f32", [...leading, 3 * width]) }, ({ qkv }) => {
    const out = attention(qkv, {
      heads,
      causal,
      cuSeqlens: packed ? constant(inputs.starts, [lengths.length + 1]) : undefined,
      rope: inputs.rope && constant(inputs.rope, [grid, headDim / 4, 2]),
      kept: dropped ? constant(inputs.patches, [lengths.length, lengths[0]! - 1]) : undefined,
    });
    const loss = sum(multiply(out, constant(inputs.dout, out.shape)));
    return { out, gradient: grad(loss, [qkv])[0]! };
  });
  const { out, gradient } = await program({ qkv: inputs.qkv });
  program.dispose();
  return { out: out.data as Float32Array, gradient: gradient.data as Float32Array };
}

function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  const difference = Array.from(expected, (e, i) => e - actual[i]!);
  return Math.sqrt(dot(difference, difference) / dot(expected, expected));
}

/** The change of sum(out · dout) along `direction`, by central differences of the reference. */
function slope(problem: Problem, inputs: Inputs, direction: Float32Array): number {
  const step = 1e-4;
  const at = (sign: number) => {
    const moved = Float64Array.from(inputs.qkv, (x, i) => x + sign * step * direction[i]!);
    return dot(reference(problem, inputs, moved), inputs.dout);
  };
  return (at(1) - at(-1)) / (2 * step);
}

async function agrees(problem: Problem): Promise<void> {
  const inputs = inputsOf(problem);
  const { out, gradient } = await native(problem, inputs);
  expect(relativeError(out, reference(problem, inputs, inputs.qkv))).toBeLessThan(1e-5);

  // One direction each for q, k and v, so that an error in one is not hidden by the others.
  const width = problem.heads * problem.headDim;
  for (const part of [0, 1, 2]) {
    const direction = noise(gradient.length, 3 + part).map((x, i) =>
      Math.floor((i % (3 * width)) / width) === part ? x : 0,
    );
    const expected = slope(problem, inputs, direction);
    const size = Math.sqrt(dot(gradient, gradient));
    expect(Math.abs(dot(gradient, direction) - expected) / size).toBeLessThan(1e-5);
  }
}

describe("attention", () => {
  test.each([16, 22, 64, 88, 112, 128])("of heads of %i", async (headDim) => {
    const rotary = headDim % 4 === 0;
    await agrees({ lengths: [17, 17], heads: 2, headDim, ...(rotary && { grid: 4 }) });
    await agrees({ lengths: [5, 1, 20], heads: 2, headDim, packed: true, causal: true });
  });

  test.each([1, 2, 77, 99, 129, 197, 257, 577])("over %i tokens", async (n) => {
    await agrees({ lengths: [n], heads: 1, headDim: 16 });
    if (n < 200) await agrees({ lengths: [n, n >> 1], heads: 1, headDim: 16, packed: true, causal: true });
  });

  test("rotates kept tokens by the position of their patch", async () => {
    await agrees({ lengths: [13, 13], heads: 2, headDim: 16, grid: 7, dropped: true });
  });

  test("sets padding rows to zero", async () => {
    const program = await compile(device, { qkv: spec("f32", [6, 48]) }, ({ qkv }) => {
      const out = attention(qkv, { heads: 1, cuSeqlens: constant(Int32Array.of(0, 3, 4), [3]) });
      return { out, gradient: grad(sum(out), [qkv])[0]! };
    });
    const { out, gradient } = await program({ qkv: noise(6 * 48, 1) });
    expect([...out.data.subarray(4 * 16)]).toEqual(new Array(32).fill(0));
    expect([...gradient.data.subarray(4 * 48)]).toEqual(new Array(96).fill(0));
  });

  test("in bf16 is exact up to its rounding", async () => {
    const problem = { lengths: [33, 33], heads: 2, headDim: 24 };
    const inputs = inputsOf(problem);
    const bits = Uint16Array.from(new Uint32Array(inputs.qkv.buffer), (word) => word >>> 16);
    const asNumbers = (half: Uint16Array) =>
      new Float32Array(Uint32Array.from(half, (word) => word << 16).buffer);
    const program = await compile(device, { qkv: spec("bf16", [2, 33, 144]) }, ({ qkv }) => ({
      out: attention(qkv, { heads: 2 }),
    }));
    const { out } = await program({ qkv: bits });
    const expected = reference(problem, inputs, asNumbers(bits));
    expect(relativeError(asNumbers(out.data as Uint16Array), expected)).toBeLessThan(3e-3);
  });

  test.each([
    [[0, 3, 2], "cu_seqlens\\[2\\] must be 3 … 4, got 2"],
    [[0, 3, 5], "cu_seqlens\\[2\\] must be 3 … 4, got 5"],
    [[1, 3, 4], "cu_seqlens\\[0\\] must be 0, got 1"],
  ])("refuses sequence bounds %p", async (starts, message) => {
    const program = await compile(
      device,
      { qkv: spec("f32", [4, 48]), starts: spec("i32", [3]) },
      ({ qkv, starts }) => ({ out: attention(qkv, { heads: 1, cuSeqlens: starts }) }),
    );
    const run = program({ qkv: noise(4 * 48, 1), starts: Int32Array.from(starts) });
    await expect(run).rejects.toMatchObject({
      code: "ERR_EVACLIP_DATA",
      message: expect.stringMatching(message) as string,
    });
  });

  test("refuses a number of columns that is not 3 × heads × D", async () => {
    const recording = compile(device, { qkv: spec("f32", [1, 4, 48]) }, ({ qkv }) => ({
      out: attention(qkv, { heads: 5 }),
    }));
    await expect(recording).rejects.toMatchObject({ code: "ERR_EVACLIP_INVALID_ARGUMENT" });
  });
});
