import { compile, spec } from "../../lib/compile";
import { compileByShape } from "../../lib/compile_by_shape";
import { Device } from "../../lib/device";
import { HostTensor } from "../../lib/host_tensor";
import { scale } from "../../lib/ops/elementwise";
import { Parameter } from "../../lib/parameter";

const COUNT = 1 << 20;
let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
});
afterAll(() => device.dispose());

const double = () => compile(device, { x: spec("f32", [COUNT]) }, ({ x }) => ({ y: scale(x, 2) }));

/** Changes to an array after a call that reads it has returned. */
const LATER: Record<string, (array: Float32Array) => void> = {
  "is overwritten": (array) => array.fill(7),
  "is transferred": (array) => structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] }),
  "is shrunk": (array) => (array.buffer as ArrayBuffer & { resize(bytes: number): void }).resize(0),
};

function resizable(bytes: number): ArrayBuffer {
  const Resizable = ArrayBuffer as unknown as new (bytes: number, options: object) => ArrayBuffer;
  return new Resizable(bytes, { maxByteLength: bytes });
}

describe.each(Object.keys(LATER))("an array that %s after the call", (what) => {
  const given = () => new Float32Array(resizable(COUNT * 4)).fill(1);

  test("was read by the program before", async () => {
    const program = await double();
    const calls = [given(), given(), given()].map((x) => {
      const running = program({ x });
      LATER[what]!(x);
      return running;
    });
    for (const { y } of await Promise.all(calls)) expect(y.data.every((value) => value === 2)).toBe(true);
    program.dispose();
  });

  test("was read by a program that is still compiling", async () => {
    const program = compileByShape(device, ({ x }) => ({ y: scale(x!, 2) }));
    const x = given();
    const running = program({ x: new HostTensor("f32", [COUNT], x) });
    LATER[what]!(x);
    expect((await running).y.data.every((value) => value === 2)).toBe(true);
    program.dispose();
  });

  test("was written to the parameter before", async () => {
    const parameter = new Parameter("p", [COUNT]);
    parameter.allocate(device);
    const data = given();
    const writing = parameter.write(data);
    LATER[what]!(data);
    await writing;
    expect((await parameter.read()).toFloat32().every((value) => value === 1)).toBe(true);
    parameter.dispose();
  });
});

test("concurrent calls have separate inputs, also in reused memory", async () => {
  const program = await double();
  for (const round of [1, 2, 3]) {
    const values = [1, 2, 3, 4].slice(0, 1 + round).map((value) => value * round);
    const running = values.map((value) => program({ x: new Float32Array(COUNT).fill(value) }));
    for (const [i, { y }] of (await Promise.all(running)).entries())
      expect(y.data.every((value) => value === 2 * values[i]!)).toBe(true);
  }
  program.dispose();
});

test("arrays in shared memory are accepted everywhere", async () => {
  const program = await double();
  const x = new Float32Array(new SharedArrayBuffer(COUNT * 4)).fill(3);
  expect((await program({ x })).y.data[COUNT - 1]).toBe(6);
  const parameter = new Parameter("p", [COUNT]);
  parameter.allocate(device);
  await parameter.write(x);
  expect((await parameter.read()).data[5]).toBe(3);
  program.dispose();
  parameter.dispose();
});

test.each([
  [null, "an object of typed arrays, found null"],
  [{ x: null }, "got null"],
  [{ x: new Float32Array(3) }, "got Float32Array of 3"],
  [{ x: { length: COUNT, [Symbol.toStringTag]: "Float32Array" } }, "got an object"],
  [{ x: new Float32Array(COUNT), xx: 1 }, "no input xx; it takes x"],
])("a program refuses %p", async (inputs, message) => {
  const program = await double();
  await expect(program(inputs as never)).rejects.toMatchObject({
    code: expect.stringMatching(/^ERR_EVACLIP_(SHAPE|INVALID_ARGUMENT)$/),
    message: expect.stringContaining(message),
  });
  program.dispose();
});

test.each([
  [() => compile({} as never, {}, () => ({})), "compile: device must be a Device, found an object"],
  [
    () => compile(device, 5 as never, () => ({})),
    "compile: inputs must be an object with a spec for each input",
  ],
  [
    () => compile(device, { x: { dtype: "f64", shape: [1] } } as never, () => ({})),
    "compile: inputs.x.dtype must be",
  ],
  [() => compile(device, {}, 5 as never), "compile: body must be a function"],
  [() => compile(device, {}, (async () => ({})) as never), "body must return an object of tensors"],
  [() => compile(device, {}, () => ({ y: 5 }) as never), "output y must be a Tensor, found 5"],
  [() => compile(device, {}, () => ({}), { shareMemry: true } as never), "did you mean shareMemory?"],
  [() => compile(device, {}, () => ({}), null as never), "compile: options must be an object"],
  [async () => spec("f32", [1.5]), "spec: shape[0] must be an integer"],
  [async () => new HostTensor("f32", [1], new Int32Array(1) as never), "data must be a Float32Array for f32"],
  [async () => new HostTensor("f32", [1], null as never), "data must be a Float32Array for f32, found null"],
])("arguments are checked: %#", async (call, message) => {
  await expect(call()).rejects.toMatchObject({
    code: "ERR_EVACLIP_INVALID_ARGUMENT",
    message: expect.stringContaining(message),
  });
});
