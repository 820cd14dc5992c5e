// Runs with inputs that were staged beside the work of a GPU, as JSON: whether their results equal those of plain runs, the
// bytes of the slots, and what ends calls that wait for a slot.
import { compile, Device, ops, spec } from "eva-clip/graph";

const COUNT = 1 << 18; // one megabyte

async function main() {
  await using device = await Device.open("cuda");
  const program = await compile(device, { x: spec("f32", [COUNT]) }, ({ x }) => ({ y: ops.sum(x) }));
  const batch = (i: number) => new Float32Array(new SharedArrayBuffer(4 * COUNT)).fill(i + 1);
  const plain = [];
  for (let i = 0; i < 4; i++) plain.push((await program({ x: batch(i) })).y.item());
  const { workspaceBytes: before } = await device.memory();
  const staging = [0, 1, 2, 3].map((i) => program.stage({ x: batch(i) }));
  const staged = [];
  for (const each of staging) staged.push((await program({}, await each)).y.item());
  const { workspaceBytes: after } = await device.memory();
  const unused = [await program.stage({ x: batch(0) }), await program.stage({ x: batch(1) })];
  const waiting = [program.stage({ x: batch(2) }), program.stage({ x: batch(3) })];
  unused[1]!.dispose();
  const served = await waiting[0]!;
  program.dispose();
  const code = await waiting[1]!.then(
    () => "none",
    (error) => error.code,
  );
  served.dispose();
  console.log(JSON.stringify({ equal: String(plain) === String(staged), slotBytes: after - before, code }));
}

main();
