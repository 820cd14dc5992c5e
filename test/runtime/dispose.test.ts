import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { compile, spec } from "../../lib/compile";
import { Device } from "../../lib/device";
import { matmul } from "../../lib/ops/linear";
import { Parameter } from "../../lib/parameter";
import type { Tensor } from "../../lib/tensor";
import { eventLoopHeldMs } from "../support/event_loop";
import { TranspiledLibrary } from "../support/transpiled_library";

const SIDE = 256;
const x = new Float32Array(SIDE * SIDE);

function chain(device: Device, products = 40) {
  return compile(device, { x: spec("f32", [SIDE, SIDE]) }, (inputs) => {
    let y: Tensor = inputs.x;
    for (let i = 0; i < products; i++) y = matmul(y, inputs.x);
    return { y };
  });
}

/** How promises settle: "done", or the code of the error. */
const outcomes = (promises: Promise<unknown>[]) =>
  Promise.all(
    promises.map((each) =>
      each.then(
        () => "done",
        (error: { code?: string }) => error.code,
      ),
    ),
  );

test("work started before dispose() finishes, later work is refused at once, and all promises settle", async () => {
  const device = await Device.open("cpu", { threads: 1 });
  const program = await chain(device);
  const before = [program({ x }), program({ x }), chain(device), program.profile(), device.memory()];
  const disposed = [device.dispose(), device.dispose()];
  const after = [program({ x }), chain(device), program.profile(), device.memory(), program({ x })];
  expect(await outcomes(after)).toEqual(after.map(() => "ERR_EVACLIP_DISPOSED"));
  expect(await outcomes(before)).toEqual(before.map(() => "done"));
  expect(await outcomes([...disposed, device.dispose()])).toEqual(["done", "done", "done"]);
  await delay(5);
  expect(await outcomes([program({ x })])).toEqual(["ERR_EVACLIP_DISPOSED"]);
});

test("dispose() does not block the event loop while the device works", async () => {
  const held = await eventLoopHeldMs(20, async () => {
    const device = await Device.open("cpu", { threads: 1 });
    const program = await chain(device, 100);
    const running = [program({ x }), program({ x })];
    await Promise.all([device.dispose(), ...running]);
  });
  expect(held).toBeLessThan(20);
});

test("parameters of a disposed device are disposed, and everything can be disposed in any order", async () => {
  const device = await Device.open("cpu", { threads: 1 });
  const parameter = new Parameter("p", [4]);
  parameter.allocate(device);
  const program = await compile(device, {}, () => ({ y: parameter }));
  const read = parameter.read();
  await device.dispose();
  expect([...(await read).shape]).toEqual([4]);
  await expect(parameter.read()).rejects.toMatchObject({ code: "ERR_EVACLIP_DISPOSED" });
  await expect(parameter.write(new Float32Array(4))).rejects.toMatchObject({ code: "ERR_EVACLIP_DISPOSED" });
  program.dispose();
  parameter.dispose();
  expect(() => parameter.allocate(device)).toThrow("the device has been disposed");
});

const MB = 1 << 20;
const COUNT = 64 * MB; // 256 MB, much more than V8 collects meanwhile
const resident = () => process.memoryUsage.rss() / MB;

test("disposing a device, a program or a parameter frees resident memory at once", async () => {
  const device = await Device.open("cpu", { threads: 1 });
  const [kept, dropped] = [new Parameter("kept", [COUNT]), new Parameter("dropped", [COUNT])];
  const data = new Float32Array(COUNT);
  const start = resident();
  for (const parameter of [kept, dropped]) parameter.allocate(device);
  for (const parameter of [kept, dropped]) await parameter.write(data);
  const program = await compile(device, {}, () => ({ y: kept, z: dropped }));
  await program({});
  const full = resident();
  expect(full - start).toBeGreaterThan(400);
  program.dispose();
  dropped.dispose();
  // Runs after the program is freed, which then frees the parameter.
  for (let i = 0; i < 2; i++) await device.memory();
  const afterOne = resident();
  expect(afterOne).toBeLessThan(full - 200);
  await device.dispose();
  expect(resident()).toBeLessThan(afterOne - 200);
});

test("a process with requests after dispose() still exits by itself", async () => {
  const library = new TranspiledLibrary();
  const script = library.script("end_while_busy.js");
  const { status } = spawnSync(process.execPath, [script, "none", "dispose"], {
    env: library.env,
    cwd: join(__dirname, "../.."),
    timeout: 60_000,
  });
  library.remove();
  expect(status).toBe(0);
}, 120_000);
