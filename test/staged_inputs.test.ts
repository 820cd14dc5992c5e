import { compile, spec } from "../lib/compile";
import { compileByShape } from "../lib/compile_by_shape";
import { Device } from "../lib/device";
import { HostTensor } from "../lib/host_tensor";
import { add, scale } from "../lib/ops/elementwise";

let device: Device;
beforeAll(async () => {
  device = await Device.open("cpu", { threads: 1 });
});
afterAll(() => device.dispose());

const specs = { x: spec("f32", [2]), y: spec("f32", [2]) };
const sums = () => compile(device, specs, ({ x, y }) => ({ z: add(scale(x, 10), y) }));
const f32 = (...values: number[]) => Float32Array.from(values);
const tensor = (...values: number[]) => new HostTensor("f32", [values.length], f32(...values));

const invalid = (message: RegExp) => ({
  code: "ERR_EVACLIP_INVALID_ARGUMENT",
  message: expect.stringMatching(message),
});

describe("inputs of a program that were staged", () => {
  test("are those of a run, with the others, in any order of runs", async () => {
    using program = await sums();
    const first = await program.stage({ x: f32(1, 2) });
    const all = await program.stage({ x: f32(3, 4), y: f32(5, 6) });
    const plain = await program({ x: f32(7, 8), y: f32(9, 10) });
    expect([...plain.z.data]).toEqual([79, 90]);
    expect([...(await program({}, all)).z.data]).toEqual([35, 46]);
    expect([...(await program({ y: f32(1, 1) }, first)).z.data]).toEqual([11, 21]);
  });

  test("are copied by the call, or read in place from shared memory", async () => {
    using program = await sums();
    const x = f32(1, 2);
    const y = new Float32Array(new SharedArrayBuffer(8));
    const staging = program.stage({ x, y });
    x.fill(7);
    y.set([3, 4]);
    expect([...(await program({}, await staging)).z.data]).toEqual([13, 24]);
  });

  test("serve one run", async () => {
    using program = await sums();
    const staged = await program.stage({ x: f32(1, 2) });
    await expect(program({}, staged)).rejects.toMatchObject(invalid(/input y is missing/));
    await expect(program({ y: f32(1) }, staged)).rejects.toMatchObject({ code: "ERR_EVACLIP_SHAPE" });
    await expect(program({ x: f32(1, 1), y: f32(1, 1) }, staged)).rejects.toMatchObject(
      invalid(/input x is staged already/),
    );
    await program({ y: f32(0, 0) }, staged); // refused arguments have not used it up
    await expect(program({ y: f32(0, 0) }, staged)).rejects.toMatchObject(
      invalid(/used by a run or disposed/),
    );
    const given = await program.stage({ x: f32(1, 2) });
    given.dispose();
    given.dispose();
    await expect(program({ y: f32(0, 0) }, given)).rejects.toMatchObject(
      invalid(/used by a run or disposed/),
    );
  });

  test("serve the program that staged them", async () => {
    using program = await sums();
    using other = await sums();
    const staged = await program.stage({ x: f32(1, 2) });
    await expect(other({ y: f32(0, 0) }, staged)).rejects.toMatchObject(invalid(/of another program/));
    await expect(other({ y: f32(0, 0) }, {} as never)).rejects.toMatchObject(invalid(/StagedInputs/));
    expect([...(await program({ y: f32(0, 0) }, staged)).z.data]).toEqual([10, 20]);
  });

  test("are checked by the call", async () => {
    using program = await sums();
    await expect(program.stage({ x: f32(1) })).rejects.toMatchObject({ code: "ERR_EVACLIP_SHAPE" });
    await expect(program.stage({ w: f32(1) } as never)).rejects.toMatchObject(invalid(/no input w/));
    await expect(program.stage(null as never)).rejects.toMatchObject(invalid(/object of typed arrays/));
  });

  test("end with their program and device", async () => {
    const own = await Device.open("cpu", { threads: 1 });
    const program = await compile(own, specs, ({ x, y }) => ({ z: add(x, y) }));
    const kept = await compile(own, specs, ({ x, y }) => ({ z: add(x, y) }));
    const [staged, left] = [await program.stage({ x: f32(1, 2) }), await kept.stage({ x: f32(1, 2) })];
    program.dispose();
    const disposed = { code: "ERR_EVACLIP_DISPOSED" };
    await expect(program({ y: f32(0, 0) }, staged)).rejects.toMatchObject(disposed);
    await expect(program.stage({ x: f32(1, 2) })).rejects.toMatchObject(disposed);
    staged.dispose();
    await own.dispose();
    await expect(kept.stage({ x: f32(1, 2) })).rejects.toMatchObject(disposed);
    await expect(kept({ y: f32(0, 0) }, left)).rejects.toMatchObject(disposed);
    left.dispose();
  });
});

describe("inputs of a program by shape that were staged", () => {
  const triple = () => compileByShape(device, ({ x, y }) => ({ z: add(scale(x!, 3), y!) }));

  test("choose the program together with the specs of the others", async () => {
    using program = triple();
    const x = tensor(1, 2);
    const staging = program.stage({ x }, { y: spec("f32", [2]) });
    x.data.fill(9); // while the program is compiled
    const [two, three] = [await staging, await program.stage({ x: tensor(1, 2, 3), y: tensor(0, 0, 1) })];
    expect((await program.programs()).length).toBe(2);
    expect([...(await program({}, three)).z.data]).toEqual([3, 6, 10]);
    expect([...(await program({ y: tensor(1, 1) }, two)).z.data]).toEqual([4, 7]);
    expect([...(await program({ x: tensor(1, 1), y: tensor(1, 1) })).z.data]).toEqual([4, 4]);
    expect((await program.programs()).length).toBe(2);
  });

  test("are refused by others", async () => {
    using program = triple();
    using other = triple();
    const staged = await program.stage({ x: tensor(1, 2) }, { y: spec("f32", [2]) });
    await expect(other({ y: tensor(1, 1) }, staged)).rejects.toMatchObject(invalid(/of another program/));
    await expect(program({ y: tensor(1) }, staged)).rejects.toMatchObject({ code: "ERR_EVACLIP_SHAPE" });
    await expect(program.stage({ x: tensor(1) }, { y: 3 as never })).rejects.toMatchObject(invalid(/y/));
    program.dispose();
    await expect(program.stage({ x: tensor(1, 2) })).rejects.toMatchObject({ code: "ERR_EVACLIP_DISPOSED" });
    await expect(program({ y: tensor(1, 1) }, staged)).rejects.toMatchObject({
      code: "ERR_EVACLIP_DISPOSED",
    });
  });
});
