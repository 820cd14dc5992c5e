// One correct call of what compiles, stages inputs and runs.
import * as eva from "./public_names";
import type { PublicCall, World } from "./public_calls";

const dispose = (object: { dispose(): unknown }) => object.dispose();
const spec = { x: eva.spec("f32", [2, 3]) };
const halve = ({ x }: { x: eva.Tensor }) => ({ y: eva.ops.scale(x, 0.5) });

export const programCalls: Readonly<Record<string, (w: World) => PublicCall | Promise<PublicCall>>> = {
  compile: (w) => ({
    target: eva.compile,
    given: [w.device, spec, halve, { shareMemory: true }],
    after: dispose as never,
  }),
  Program: async (w) => ({
    target: (await eva.compile(w.device, spec, halve)) as never,
    given: [{ x: new Float32Array(6) }],
  }),
  "Program.stage": async (w) => ({
    target: (await eva.compile(w.device, spec, halve)).stage as never,
    given: [{ x: new Float32Array(6) }],
    after: dispose as never,
  }),
  "ShapedProgram.stage": (w) => ({
    target: eva.compileByShape(w.device, halve as never).stage as never,
    given: [{}, { x: { dtype: "f32", shape: [6] } }],
    after: dispose as never,
  }),
  compileByShape: (w) => ({
    target: eva.compileByShape,
    given: [w.device, halve, { maxPrograms: 2 }],
    after: dispose as never,
  }),
};
