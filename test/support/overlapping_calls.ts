// Uses, profiles, measures and disposes devices in overlapping calls, for a run under a sanitizer.
//   node overlapping_calls.js [ROUNDS]
import { compile, spec } from "../../lib/compile";
import { Device } from "../../lib/device";
import { matmul } from "../../lib/ops/linear";
import { Parameter } from "../../lib/parameter";

const SIDE = 32;

/** Every kind of call on one device at once; each promise must settle, either way. */
async function overlap(round: number): Promise<number> {
  const device = await Device.open("cpu", { threads: 1 });
  const parameter = new Parameter("w", [SIDE, SIDE]);
  parameter.allocate(device);
  await parameter.write(new Float32Array(SIDE * SIDE));
  const build = () =>
    compile(device, { x: spec("f32", [SIDE, SIDE]) }, ({ x }) => ({ y: matmul(matmul(x, parameter), x) }));
  const [first, second] = await Promise.all([build(), build()]);
  const x = new Float32Array(SIDE * SIDE);
  const calls: Promise<unknown>[] = [first.startProfile()];
  for (let i = 0; i < 8; i++) {
    calls.push(first({ x }), second({ x }), first.profile(), device.memory(), build());
    calls.push(parameter.write(x), parameter.read());
  }
  if (round % 3 === 0) second.dispose();
  if (round % 3 === 1) parameter.dispose();
  calls.push(device.dispose(), first.profile(), device.memory(), first({ x }), build(), device.dispose());
  const settled = await Promise.allSettled(calls);
  for (const program of [first, second]) program.dispose();
  return settled.length;
}

async function main(): Promise<void> {
  const rounds = Number(process.argv[2] ?? 20);
  let settled = 0;
  for (let round = 0; round < rounds; round += 2) {
    const both = await Promise.all([overlap(round), overlap(round + 1)]);
    settled += both[0] + both[1];
  }
  console.log(`${settled} overlapping calls settled`);
}

void main();
