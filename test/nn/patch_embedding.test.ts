import { compile, spec } from "../../lib/compile";
import { Device } from "../../lib/device";
import { grad } from "../../lib/grad";
import { multiply } from "../../lib/ops/elementwise";
import { patchProjection } from "../../lib/ops/patch_embed";
import { sum } from "../../lib/ops/reduce";
import { relativeError } from "../parity/relative_error";

/** Numbers without a pattern. */
const wave = (count: number, pace: number) =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(pace * i * i));

/** x Wᵀ + b in double precision. */
function reference(x: Float32Array, weight: Float32Array, bias: Float32Array): Float64Array {
  const columns = bias.length;
  const inner = weight.length / columns;
  const y = new Float64Array((x.length / inner) * columns);
  for (let r = 0; r < x.length / inner; r++) {
    for (let n = 0; n < columns; n++) {
      let total = bias[n]!;
      for (let k = 0; k < inner; k++) total += x[r * inner + k]! * weight[n * inner + k]!;
      y[r * columns + n] = total;
    }
  }
  return y;
}

describe("patchProjection", () => {
  let device: Device;
  beforeAll(async () => {
    device = await Device.open("cpu", { threads: 1 });
  });
  afterAll(() => device.dispose());

  test.each([
    [1, 1, 1],
    [5, 7, 3],
    [9, 192, 16],
    [130, 588, 57],
  ])("%i rows, %i pixels, %i columns: right to the last bit but one", async (rows, inner, columns) => {
    const data = {
      x: wave(rows * inner, 0.31),
      weight: wave(columns * inner, 0.17),
      bias: wave(columns, 1.3),
    };
    const specs = {
      x: spec("f32", [rows, inner]),
      weight: spec("f32", [columns, inner]),
      bias: spec("f32", [columns]),
    };
    const program = await compile(device, specs, (t) => ({ y: patchProjection(t.x, t.weight, t.bias) }));
    const { y } = await program(data);
    expect(relativeError(y.toFloat32(), reference(data.x, data.weight, data.bias))).toBeLessThan(8e-8);
  });

  test("its gradients are those of a matrix product", async () => {
    const [rows, inner, columns] = [6, 10, 5];
    const specs = {
      x: spec("f32", [rows, inner]),
      weight: spec("f32", [columns, inner]),
      dy: spec("f32", [rows, columns]),
      bias: spec("f32", [columns]),
    };
    const program = await compile(device, specs, ({ x, weight, bias, dy }) => {
      const loss = sum(multiply(patchProjection(x, weight, bias), dy));
      const [dx, dweight, dbias] = grad(loss, [x, weight, bias]);
      return { dx: dx!, dweight: dweight!, dbias: dbias! };
    });
    const [x, weight, dy] = [wave(60, 0.3), wave(50, 0.7), wave(30, 0.9)];
    const found = await program({ x, weight, dy, bias: wave(5, 1) });
    const at = (r: number, n: number) => dy[r * columns + n]!;
    const dx = Array.from({ length: rows * inner }, (_, i) => {
      const [r, k] = [Math.floor(i / inner), i % inner];
      return Array.from({ length: columns }, (_, n) => at(r, n) * weight[n * inner + k]!).reduce(
        (a, b) => a + b,
      );
    });
    const dweight = Array.from({ length: columns * inner }, (_, i) => {
      const [n, k] = [Math.floor(i / inner), i % inner];
      return Array.from({ length: rows }, (_, r) => at(r, n) * x[r * inner + k]!).reduce((a, b) => a + b);
    });
    const dbias = Array.from({ length: columns }, (_, n) =>
      Array.from({ length: rows }, (_, r) => at(r, n)).reduce((a, b) => a + b),
    );
    expect(relativeError(found.dx.toFloat32(), dx)).toBeLessThan(1e-6);
    expect(relativeError(found.dweight.toFloat32(), dweight)).toBeLessThan(1e-6);
    expect(relativeError(found.dbias.toFloat32(), dbias)).toBeLessThan(1e-6);
  });
});
