import { runInNewContext } from "node:vm";
import { compile, spec } from "../lib/compile";
import { compileByShape } from "../lib/compile_by_shape";
import { Device } from "../lib/device";
import type { EvaClipError } from "../lib/errors";
import { grad } from "../lib/grad";
import { HostTensor } from "../lib/host_tensor";
import { exp, gelu, multiply, scale } from "../lib/ops/elementwise";
import { layerNorm } from "../lib/ops/layer_norm";
import { concat } from "../lib/ops/layout";
import { linear, matmul } from "../lib/ops/linear";
import { sum } from "../lib/ops/reduce";
import { Parameter } from "../lib/parameter";
import { constant, reshape, type Tensor } from "../lib/tensor";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 2 });
});
afterAll(() => device.dispose());

const ramp = (count: number, step = 0.01) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(i) + i * step);

async function failure(promise: Promise<unknown>): Promise<EvaClipError> {
  try {
    await promise;
  } catch (error) {
    return error as EvaClipError;
  }
  throw new Error("expected a failure");
}

describe("compile", () => {
  test("runs what was recorded and names its outputs", async () => {
    const program = await compile(device, { x: spec("f32", [2, 3]) }, ({ x }) => ({
      doubled: scale(x, 2),
      total: sum(x),
    }));
    const { doubled, total } = await program({ x: Float32Array.of(1, 2, 3, 4, 5, 6) });
    expect([...doubled.data]).toEqual([2, 4, 6, 8, 10, 12]);
    expect(doubled.shape).toEqual([2, 3]);
    expect(total.item()).toBe(21);
  });

  test("constants, views and parameters are values like others", async () => {
    const weight = new Parameter("weight", [3]);
    weight.allocate(device);
    await weight.write(Float32Array.of(1, 10, 100));
    const program = await compile(device, { x: spec("f32", [6]) }, ({ x }) => ({
      y: multiply(multiply(reshape(x, [2, 3]), weight), constant(Float32Array.of(2), [])),
    }));
    const { y } = await program({ x: Float32Array.of(1, 2, 3, 4, 5, 6) });
    expect([...y.data]).toEqual([2, 40, 600, 8, 100, 1200]);
    weight.dispose();
  });

  test("an input that is also an output comes back", async () => {
    const program = await compile(device, { x: spec("i32", [2]) }, ({ x }) => ({ x }));
    const { x } = await program({ x: Int32Array.of(7, -1) });
    expect([...x.data]).toEqual([7, -1]);
  });

  test("sharing memory or not gives the same bits, in less memory", async () => {
    const body = ({ x, w }: { x: Tensor; w: Tensor }) => {
      let y = x;
      for (let i = 0; i < 6; i++) y = gelu(matmul(y, w));
      const loss = sum(multiply(y, y));
      const [dw, dx] = grad(loss, [w, x]);
      return { loss, dw: dw!, dx: dx! };
    };
    const inputs = { x: spec("f32", [33, 20]), w: spec("f32", [20, 20]) };
    const data = { x: ramp(660), w: ramp(400) };
    const shared = await compile(device, inputs, body);
    const separate = await compile(device, inputs, body, { shareMemory: false });
    expect(shared.stats().arenaBytes).toBeLessThan(separate.stats().arenaBytes);
    const [a, b] = [await shared(data), await separate(data)];
    for (const name of ["loss", "dw", "dx"] as const) expect(a[name].data).toEqual(b[name].data);
  });

  test("programs of one device share the arena and do not disturb each other", async () => {
    const small = await compile(device, { x: spec("f32", [4]) }, ({ x }) => ({ y: exp(scale(x, 2)) }));
    const before = await small({ x: ramp(4) });
    const large = await compile(device, { x: spec("f32", [1 << 20]) }, ({ x }) => ({ y: sum(exp(x)) }));
    await large({ x: new Float32Array(1 << 20) });
    expect((await small({ x: ramp(4) })).y.data).toEqual(before.y.data);
    const { arenaBytes } = await device.memory();
    expect(arenaBytes).toBe(Math.max(arenaBytes, large.stats().arenaBytes));
  });

  test("wrong inputs are named", async () => {
    const program = await compile(device, { x: spec("f32", [2, 3]) }, ({ x }) => ({ y: scale(x, 2) }));
    const none = await failure(program({} as never));
    expect(none.code).toBe("ERR_EVACLIP_INVALID_ARGUMENT");
    expect(none.message).toContain("input x is missing");
    const short = await failure(program({ x: new Float32Array(5) }));
    expect(short.code).toBe("ERR_EVACLIP_SHAPE");
    expect(short.message).toContain("input x must be f32 [2, 3], 6 elements, got Float32Array of 5");
    const kind = await failure(program({ x: new Int32Array(6) }));
    expect(kind.message).toContain("got Int32Array of 6");
    const extra = await failure(program({ x: new Float32Array(6), z: new Float32Array(1) } as never));
    expect(extra.message).toContain("no input z");
  });

  test("a shape error points at the caller's line", async () => {
    const error = await failure(
      compile(device, { x: spec("f32", [4, 16]), w: spec("f32", [8]) }, ({ x, w }) => ({
        y: layerNorm(x, w, w),
      })),
    );
    expect(error.code).toBe("ERR_EVACLIP_SHAPE");
    expect(error.message).toBe("layer_norm: weight must be [16], got f32 [8]");
    expect(error.details).toMatchObject({ op: "layer_norm", field: "weight" });
    expect(error.stack).toContain("compile.test.ts");
  });

  test.each<[string, () => unknown]>([
    ["an async function", async () => ({ y: scale(constant(1), 2) })],
    [
      "an async function that fails later",
      async () => {
        await null;
        return { y: constant(1) };
      },
    ],
    ["a generator", function* () {}],
    ["a Map", () => new Map([["y", constant(1)]])],
  ])("a body that is or gives %s is refused, and nothing is rejected unheard", async (_, body) => {
    const unheard = jest.fn();
    process.on("unhandledRejection", unheard);
    const error = await failure(compile(device, {}, body as never));
    await new Promise(setImmediate);
    process.off("unhandledRejection", unheard);
    expect(error.code).toBe("ERR_EVACLIP_INVALID_ARGUMENT");
    expect(error.message).toContain("body must return an object of tensors");
    expect(unheard).not.toHaveBeenCalled();
  });

  test("ops outside compile are refused", () => {
    expect(() => constant(1)).toThrow(expect.objectContaining({ code: "ERR_EVACLIP_NOT_RECORDING" }));
  });

  test("a disposed program and a disposed parameter say so", async () => {
    const program = await compile(device, { x: spec("f32", [1]) }, ({ x }) => ({ y: exp(x) }));
    expect(program.disposed).toBe(false);
    program[Symbol.dispose]();
    expect(program.disposed).toBe(true);
    expect((await failure(program({ x: Float32Array.of(1) }))).code).toBe("ERR_EVACLIP_DISPOSED");
    const parameter = new Parameter("p", [2]);
    expect((await failure(parameter.read())).message).toContain("parameter p has no storage");
  });

  test("a program can be profiled", async () => {
    const program = await compile(device, { x: spec("f32", [64, 64]) }, ({ x }) => ({ y: matmul(x, x) }));
    await program.startProfile();
    await program({ x: ramp(4096) });
    await program({ x: ramp(4096) });
    const [timing] = await program.profile();
    expect(timing).toMatchObject({ op: "matmul", calls: 2, flops: 2 * 2 * 64 ** 3 });
    expect(timing!.seconds).toBeGreaterThan(0);
    await program.startProfile("program");
    await program({ x: ramp(4096) });
    const [whole, ...rest] = await program.profile();
    expect(rest).toEqual([]);
    expect(whole).toMatchObject({ op: "program", calls: 1, flops: 2 * 64 ** 3 });
    expect(whole!.seconds).toBeGreaterThan(0);
    expect((await failure(program.startProfile("all" as never))).code).toBe("ERR_EVACLIP_INVALID_ARGUMENT");
  });

  test("too much memory is an error with a code, and the device works on", async () => {
    const huge = compile(device, { x: spec("f32", [1 << 20, 1 << 20]) }, ({ x }) => ({ y: sum(exp(x)) }));
    const error = await failure(huge);
    expect(error.code).toBe("ERR_EVACLIP_OUT_OF_MEMORY");
    expect(Number(error.details!.needed)).toBeGreaterThan(2 ** 41);
    const program = await compile(device, { x: spec("f32", [1]) }, ({ x }) => ({ y: scale(x, 3) }));
    expect((await program({ x: Float32Array.of(2) })).y.item()).toBe(6);
  });
});

describe("compileByShape", () => {
  test("records once for each combination of shapes", async () => {
    let recorded = 0;
    const run = compileByShape(device, ({ x }) => {
      recorded++;
      return { y: sum(x!) };
    });
    for (const count of [3, 5, 3, 5, 3]) {
      const { y } = await run({ x: new HostTensor("f32", [count], new Float32Array(count).fill(1)) });
      expect(y.item()).toBe(count);
    }
    expect(recorded).toBe(2);
    run.dispose();
  });

  test("refuses calls once it is disposed", async () => {
    const halve = compileByShape(device, ({ x }) => ({ y: scale(x!, 0.5) }));
    const x = new HostTensor("f32", [1], Float32Array.of(2));
    await halve({ x });
    halve.dispose();
    expect((await failure(halve({ x }))).code).toBe("ERR_EVACLIP_DISPOSED");
    expect(await halve.programs()).toEqual([]);
  });
});

describe("what a caller changes afterwards", () => {
  test("changes no shape", async () => {
    const shape = [2, 3];
    const kept = {
      spec: spec("f32", shape),
      host: new HostTensor("f32", shape, new Float32Array(6)),
      parameter: new Parameter("p", shape, { storedShape: shape }),
    };
    const inputs = { x: { dtype: "f32" as const, shape } };
    const program = await compile(device, inputs, ({ x }) => {
      const y = reshape(x, shape);
      const z = constant(new Float32Array(6), shape);
      shape[0] = 9;
      expect([x.shape, y.shape, z.shape]).toEqual([
        [2, 3],
        [2, 3],
        [2, 3],
      ]);
      return { y, z };
    });
    inputs.x.shape = [1];
    expect((await program({ x: new Float32Array(6) })).y.shape).toEqual([2, 3]);
    const { spec: own, host, parameter } = kept;
    expect([own.shape, host.shape, parameter.shape, parameter.storedShape]).toEqual(Array(4).fill([2, 3]));
    expect(() => (host.shape as number[]).push(1)).toThrow(TypeError);
    program.dispose();
  });

  test("changes no gradient", async () => {
    const program = await compile(device, { a: spec("f32", [1, 2]), b: spec("f32", [1, 2]) }, ({ a, b }) => {
      const [rows, weights] = [
        [a, b],
        [a, b],
      ];
      const joined = sum(concat(rows));
      const projected = sum(linear(a, weights, [null, null]));
      rows.reverse();
      weights.pop();
      const [da] = grad(joined, [a]);
      const [db] = grad(projected, [b]);
      return { da: da!, db: db! };
    });
    const { da, db } = await program({ a: Float32Array.of(3, 4), b: Float32Array.of(5, 6) });
    expect([...da.data]).toEqual([1, 1]);
    expect([...db.data]).toEqual([3, 4]);
    program.dispose();
  });
});

describe("what only says that it is a typed array", () => {
  const pretender = Object.assign(Object.create(null), { length: 1, [Symbol.toStringTag]: "Float32Array" });

  test("is refused", async () => {
    const program = await compile(device, { x: spec("f32", [1]) }, ({ x }) => ({ x }));
    expect((await failure(program({ x: pretender }))).code).toBe("ERR_EVACLIP_SHAPE");
    expect(() => new HostTensor("f32", [1], pretender)).toThrow(/must be a Float32Array/);
    program.dispose();
  });

  test("one of another realm serves", async () => {
    const program = await compile(device, { x: spec("f32", [1]) }, ({ x }) => ({ x }));
    const { x } = await program({ x: runInNewContext("Float32Array.of(7)") });
    expect(x.item()).toBe(7);
    program.dispose();
  });
});

describe("grad", () => {
  test("adds up the paths to a value", async () => {
    const program = await compile(device, { x: spec("f32", [3]) }, ({ x }) => {
      const [dx] = grad(sum(multiply(multiply(x, x), x)), [x]);
      return { dx: dx! };
    });
    const { dx } = await program({ x: Float32Array.of(1, 2, -3) });
    expect([...dx.data]).toEqual([3, 12, 27]);
  });

  test("a frozen part costs no backward work", async () => {
    const kernels = async (frozen: boolean) => {
      const program = await compile(
        device,
        { x: spec("f32", [4, 8]), a: spec("f32", [8, 8]), b: spec("f32", [8, 8]) },
        ({ x, a, b }) => {
          const [db, da] = grad(sum(gelu(matmul(gelu(matmul(x, a)), b))), frozen ? [b] : [b, a]);
          return da ? { db: db!, da } : { db: db! };
        },
      );
      return program.stats().kernels;
    };
    expect(await kernels(true)).toBeLessThan(await kernels(false));
  });

  test("a tensor that the loss does not depend on is named", async () => {
    const unused = new Parameter("unused.weight", [2]);
    unused.allocate(device);
    const error = await failure(
      compile(device, { x: spec("f32", [2]) }, ({ x }) => ({ d: grad(sum(x), [unused])[0] })),
    );
    expect(error.code).toBe("ERR_EVACLIP_NO_GRADIENT");
    expect(error.message).toContain("unused.weight");
    unused.dispose();
  });

  test("second derivatives of fused ops stop with an error instead of a silent zero", async () => {
    const error = await failure(
      compile(device, { x: spec("f32", [2, 4]), w: spec("f32", [4]) }, ({ x, w }) => {
        const [dx] = grad(sum(exp(layerNorm(x, w, w))), [x]);
        return { d: grad(sum(multiply(dx, dx)), [x])[0] };
      }),
    );
    expect(error.code).toBe("ERR_EVACLIP_NO_GRADIENT");
    expect(error.message).toContain("layer_norm_backward");
  });

  test("only scalar losses", async () => {
    const error = await failure(
      compile(device, { x: spec("f32", [2]) }, ({ x }) => ({ d: grad(x, [x])[0] })),
    );
    expect(error.code).toBe("ERR_EVACLIP_SHAPE");
  });
});
