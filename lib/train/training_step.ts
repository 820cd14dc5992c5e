import type { Program } from "../compile";
import { compileByShape } from "../compile_by_shape";
import type { Device } from "../device";
import { EvaClipError } from "../errors";
import { grad } from "../grad";
import { HostTensor } from "../host_tensor";
import { clipLoss } from "../losses/clip_loss";
import type { ClipModel } from "../models/clip_model";
import { convert } from "../ops/elementwise";
import type { Optimizer } from "../optim/optimizer";
import type { Tensor } from "../tensor";
import type { TrainingBatch } from "./batch_source";

/** Makes images u8 [B, S, S, 3] or normalised f32 [B, 3, S, S] from a batch's named tensors, on the device. */
export type RecordImages = (tensors: Readonly<Record<string, Tensor>>) => Tensor;

export interface StepTime {
  /** Updates done before this one. */
  readonly step: number;
  /** The factor of the learning rates. */
  readonly schedule: number;
  readonly seed: number;
  /** The share of patches dropped. */
  readonly patchDropout: number;
}

export interface StepResult {
  readonly loss: number;
  readonly imageAccuracy: number;
  readonly textAccuracy: number;
  readonly gradientNorm: number;
  /** e to the parameter, after the update. */
  readonly logitScale: number;
}

/** Prefix of the inputs that images are made from, to keep them apart from the step's own. */
const IMAGE_INPUT = "image:";

function imageInputs(batch: TrainingBatch, side: number): Record<string, HostTensor> {
  const { images, size } = batch;
  if (ArrayBuffer.isView(images)) {
    return { [IMAGE_INPUT]: new HostTensor("u8", [size, side, side, 3], images as Uint8Array) };
  }
  return Object.fromEntries(
    Object.entries(images as Readonly<Record<string, HostTensor>>).map(([name, tensor]) => [
      IMAGE_INPUT + name,
      tensor,
    ]),
  );
}

function namedImageTensors(inputs: Record<string, Tensor>): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(inputs)
      .filter(([name]) => name.startsWith(IMAGE_INPUT))
      .map(([name, tensor]) => [name.slice(IMAGE_INPUT.length), tensor]),
  );
}

/**
 * Forward pass, contrastive loss, backward pass and update as one program for each shape of a batch, and for dropping
 * patches or not.
 */
export class TrainingStep {
  readonly #byDropout = new Map<number, ReturnType<TrainingStep["compile"]>>();

  constructor(
    readonly device: Device,
    readonly model: ClipModel,
    readonly optimizer: Optimizer,
    private readonly recordImages: RecordImages = ({ "": images }) => images!,
  ) {}

  /** Runs one step. When the gradient norm in the result is not finite, no parameter has changed. */
  async run(batch: TrainingBatch, { step, schedule, seed, patchDropout }: StepTime): Promise<StepResult> {
    const { size, tokens, cuSeqlens, textEnds } = batch;
    let program = this.#byDropout.get(patchDropout);
    if (!program) {
      program = this.compile(patchDropout);
      this.#byDropout.set(patchDropout, program);
    }
    const results = await program({
      ...imageInputs(batch, this.model.image.imageSize),
      tokens: new HostTensor("i32", [tokens.length], tokens),
      cuSeqlens: new HostTensor("i32", [size + 1], cuSeqlens),
      textEnds: new HostTensor("i32", [size], textEnds),
      schedule: new HostTensor("f32", [], Float32Array.of(schedule)),
      step: new HostTensor("i32", [], Int32Array.of(step + 1)),
      seed: new HostTensor("i32", [2], Int32Array.of(seed, step)),
    });
    return {
      loss: results.loss.item(),
      imageAccuracy: results.imageAccuracy.item(),
      textAccuracy: results.textAccuracy.item(),
      gradientNorm: results.gradientNorm.item(),
      logitScale: Math.exp(results.logitScale.item()),
    };
  }

  /** The programs compiled so far, for their statistics and profiles. */
  async programs(): Promise<Program[]> {
    return (await Promise.all([...this.#byDropout.values()].map((program) => program.programs()))).flat();
  }

  dispose(): void {
    for (const program of this.#byDropout.values()) program.dispose();
    this.#byDropout.clear();
  }

  private compile(patchDropout: number) {
    const { model, optimizer } = this;
    return compileByShape(this.device, (inputs) => {
      const { tokens, cuSeqlens, textEnds, schedule, step, seed } = inputs as Record<string, Tensor> &
        StepInputs;
      const image = model.image.encode(this.recordImages(namedImageTensors(inputs)), { seed, patchDropout });
      const text = model.text.encode({ tokens, cuSeqlens, textEnds });
      const { loss, imageAccuracy, textAccuracy } = clipLoss(
        // In the type of activations, which costs less precision than the towers have left.
        convert(image, model.image.precision),
        convert(text, model.text.precision),
        model.logitScale,
      );
      const { gradientNorm } = optimizer.update(grad(loss, optimizer.parameters), { schedule, step });
      model.clampLogitScale();
      return { loss, imageAccuracy, textAccuracy, gradientNorm, logitScale: model.logitScale };
    });
  }
}

type StepInputs = Record<"tokens" | "cuSeqlens" | "textEnds" | "schedule" | "step" | "seed", Tensor>;

/** @throws EvaClipError `ERR_EVACLIP_NAN_LOSS` when the loss or the gradient norm is not a finite number. */
export function checkFinite(result: StepResult, step: number): void {
  const { loss, gradientNorm } = result;
  if (Number.isFinite(loss) && Number.isFinite(gradientNorm)) return;
  throw new EvaClipError(
    "ERR_EVACLIP_NAN_LOSS",
    `step ${step}: the loss is ${loss} and the norm of its gradient ${gradientNorm}` +
      `${Number.isFinite(gradientNorm) ? "" : "; the step changed nothing"}. ` +
      "Lower the learning rate, lengthen the warm-up, or clip the gradient norm",
    { step, loss, gradientNorm },
  );
}
