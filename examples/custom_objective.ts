// A custom objective: CLIP's loss plus distillation from the image features of a teacher, which the batches carry.
// On synthetic data, in a few seconds: node -C eva-clip-source -r ts-node/register/transpile-only examples/custom_objective.ts
import { Device, parseClipConfig } from "eva-clip";
import { CounterRandom, packText } from "eva-clip/data";
import { HostTensor, initializeParameters, ops, Parameter } from "eva-clip/graph";
import {
  AdamW,
  batchesByStep,
  ClipModel,
  clipObjective,
  initializeModel,
  type Objective,
  parameterRules,
  type StepEvent,
  type TrainingBatch,
  train,
} from "eva-clip/train";

const [BATCH, SIDE, CLASSES, STUDENT, TEACHER] = [16, 16, 12, 16, 8];
const tower = { width: 32, layers: 1 };
const config = parseClipConfig({
  embed_dim: STUDENT,
  vision_cfg: { image_size: SIDE, patch_size: 8, head_width: 16, ...tower },
  text_cfg: { context_length: 8, vocab_size: CLASSES + 2, heads: 2, ...tower },
});

/** Images of one color per class, captions of one word, and the teacher's features: [B, TEACHER] of unit length. */
function batchAt(step: number): TrainingBatch {
  const random = new CounterRandom(1, step);
  const classes = Array.from({ length: BATCH }, () => random.below(CLASSES));
  const images = new Uint8Array(BATCH * SIDE * SIDE * 3);
  const features = new Float32Array(BATCH * TEACHER);
  classes.forEach((label, b) => {
    const ofClass = new CounterRandom(2, label);
    const color = [ofClass.below(200), ofClass.below(200), ofClass.below(200)];
    const pixels = images.subarray(b * SIDE * SIDE * 3, (b + 1) * SIDE * SIDE * 3);
    for (let i = 0; i < pixels.length; i++) pixels[i] = color[i % 3]! + random.below(40);
    const feature = Array.from({ length: TEACHER }, () => ofClass.uniform(-1, 1));
    features.set(
      feature.map((value) => value / Math.hypot(...feature)),
      b * TEACHER,
    );
  });
  const captions = packText(
    classes.map((label) => [CLASSES, label, CLASSES + 1]),
    16,
  );
  return {
    size: BATCH,
    images,
    ...captions,
    tensors: { teacher: new HostTensor("f32", [BATCH, TEACHER], features) },
  };
}

/** CLIP's loss, plus one minus the mean cosine between the teacher's features and a projection of the student's. */
function distillation(projection: Parameter): Objective {
  return (step) => {
    const { loss, metrics } = clipObjective(step);
    const student = ops.l2Normalize(ops.matmul(step.encodeImages(), projection));
    const cosines = ops.sumLast(ops.multiply(student, step.tensors.teacher!));
    const distance = ops.scale(ops.mean(cosines), -1, 1);
    return { loss: ops.add(loss, distance), metrics: { ...metrics, distance } };
  };
}

/** Trains for some steps. @returns the event of each */
export async function trainWithTeacher(steps: number): Promise<StepEvent[]> {
  await using device = await Device.open("cpu");
  const model = new ClipModel(config, { init: "fan_in" });
  await initializeModel(model, device);
  const projection = new Parameter("distillation.projection", [STUDENT, TEACHER], {
    initial: { kind: "normal", std: 0.1 },
    role: { decays: true },
  });
  projection.allocate(device);
  await initializeParameters(device, [projection]);

  const group = { learningRate: 3e-3, weightDecay: 0.05 };
  const rules = parameterRules([...model.parameters(), projection], {
    image: group,
    text: group,
    other: group,
  });
  const run = train({
    device,
    model,
    optimizer: new AdamW(rules, { clipNorm: 1 }),
    data: batchesByStep(batchAt),
    steps,
    objective: distillation(projection),
    parameterGroups: { distillation: [projection] }, // which checkpoints would hold
  });
  const events: StepEvent[] = [];
  for await (const event of run) if (event.type === "step") events.push(event);
  return events;
}

async function main(): Promise<void> {
  for (const { step, loss, imageAccuracy, metrics } of await trainWithTeacher(100)) {
    if (step % 10 !== 0) continue;
    const distance = metrics.distance!.toFixed(3);
    console.log(
      `step ${step}: loss ${loss.toFixed(3)}, accuracy ${imageAccuracy?.toFixed(2)}, distance ${distance}`,
    );
  }
}

if (require.main === module) void main();
