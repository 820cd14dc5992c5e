import { invalidArgument } from "../arguments";
import { type Program, spec } from "../compile";
import { compileByShape, type ShapedProgram } from "../compile_by_shape";
import { EvaClipError } from "../errors";
import { grad } from "../grad";
import { HostTensor } from "../host_tensor";
import { concat } from "../ops/layout";
import { globalNorm } from "../ops/optimizer";
import type { Parameter } from "../parameter";
import type { StagedInputs } from "../staged_inputs";
import { Graph, type Operand, reshape, type Tensor } from "../tensor";
import type { TrainingBatch } from "./batch_source";
import { type AfterUpdate, clampLogitScale } from "./objective/after_update";
import { clipObjective } from "./objective/clip_objective";
import {
  callObjective,
  collectMetrics,
  type Objective,
  objectiveStep,
  type RecordImages,
} from "./objective/objective";
import type { TrainConfig } from "./train_config";
import type { LayerReport } from "./train_events";
import { WeightCopies } from "./weight_copies";

/** What decides, beside the shapes of its batch, which program a step runs. */
export interface StepKind {
  /** Fraction of patches dropped. */
  readonly patchDropout: number;
  /** Whether to report every parameter's gradient norm and trust ratio, by a separate program. Default false. */
  readonly detail?: boolean;
}

/** The values that change with every step. */
export interface StepTime extends StepKind {
  /** Updates done before this one. */
  readonly step: number;
  /** [parameters] of the optimizer, in its order. */
  readonly learningRates: Float32Array;
  readonly seed: number;
}

export interface StepResult {
  readonly loss: number;
  /** Norm of all gradients before clipping. */
  readonly gradientNorm: number;
  /** exp(logit_scale), after the update. */
  readonly logitScale: number;
  /** The metrics returned by the objective and `afterUpdate`. */
  readonly metrics: Readonly<Record<string, number>>;
  /** By parameter, where the step was asked for detail. */
  readonly layers?: Readonly<Record<string, LayerReport>>;
}

/** The inputs of the step's program, in addition to the batch's own tensors. */
const STEP_INPUTS = ["tokens", "cuSeqlens", "textEnds", "images", "learningRates", "step", "seed"] as const;
type StepInputs = Record<Exclude<(typeof STEP_INPUTS)[number], "images">, Tensor> & { images?: Tensor };

function givenImages({ images }: Readonly<Record<string, Tensor>>): Tensor {
  if (images) return images;
  throw invalidArgument(
    "train: the batch has no images: give it `images`, or train() a function `images` that makes them from its `tensors`",
  );
}

function batchInputs(batch: TrainingBatch, side: number): Record<string, HostTensor> {
  const { size, tokens, cuSeqlens, textEnds, images, tensors = {} } = batch;
  const taken = STEP_INPUTS.find((name) => name in tensors);
  if (taken !== undefined) {
    const message = `train: a tensor of a batch needs another name than ${taken}, which is an input of every step`;
    throw invalidArgument(message, { name: taken });
  }
  return {
    ...tensors,
    ...(images && { images: new HostTensor("u8", [size, side, side, 3], images) }),
    tokens: new HostTensor("i32", [tokens.length], tokens),
    cuSeqlens: new HostTensor("i32", [size + 1], cuSeqlens),
    textEnds: new HostTensor("i32", [size], textEnds),
  };
}

function keyOf({ patchDropout, detail = false }: StepKind, batch: Record<string, HostTensor>): string {
  const types = Object.entries(batch).map(([name, { dtype, shape }]) => [name, dtype, ...shape]);
  return JSON.stringify([patchDropout, detail, ...types]);
}

/**
 * Forward pass, loss, backward pass and update as one program for each shape of a batch, each rate of patch dropout, and
 * with or without detail.
 */
export class TrainingStep {
  readonly #programs = new Map<string, ShapedProgram>();
  readonly #recordImages: RecordImages;
  readonly #objective: Objective;
  readonly #afterUpdate: AfterUpdate;
  readonly #copies: WeightCopies;
  /** The kinds and shapes of steps that were run. */
  readonly #known = new Set<string>();
  #updatedWithCopies: readonly Parameter[] = [];

  constructor(
    private readonly config: Pick<
      TrainConfig,
      "device" | "model" | "optimizer" | "images" | "objective" | "afterUpdate" | "gradCheckpointing"
    >,
  ) {
    const { images = givenImages, objective = clipObjective, afterUpdate = clampLogitScale } = config;
    this.#recordImages = images;
    this.#objective = objective;
    this.#afterUpdate = afterUpdate;
    this.#copies = new WeightCopies(config.device);
  }

  /**
   * The batch of a later step, which a GPU copies while it runs the present one. Undefined for a step of a new kind or shape:
   * its program is recorded when it runs.
   */
  async stage(batch: TrainingBatch, kind: StepKind): Promise<StagedInputs | undefined> {
    const inputs = batchInputs(batch, this.config.model.image.imageSize);
    if (!this.#known.has(keyOf(kind, inputs))) return undefined;
    const rates = this.config.optimizer.parameters.length;
    const rest = { learningRates: spec("f32", [rates]), step: spec("i32", []), seed: spec("i32", [2]) };
    return this.#programFor(kind).stage(inputs, rest);
  }

  /**
   * Runs one step, where `staged` is what `stage` gave for it. When the gradient norm in the result is not finite, the
   * optimizer has changed no parameter.
   */
  async run(batch: TrainingBatch, time: StepTime, staged?: StagedInputs): Promise<StepResult> {
    const { step, learningRates, seed } = time;
    const program = this.#programFor(time);
    const ofBatch = batchInputs(batch, this.config.model.image.imageSize);
    const ofStep = {
      learningRates: new HostTensor("f32", [learningRates.length], learningRates),
      step: new HostTensor("i32", [], Int32Array.of(step + 1)),
      seed: new HostTensor("i32", [2], Int32Array.of(seed, step)),
    };
    const inputs = { ...ofBatch, ...ofStep };
    await program.prepare(inputs);
    this.#known.add(keyOf(time, ofBatch));
    await this.#copies.refresh();
    const running = staged ? program(ofStep, staged) : program(inputs);
    this.#copies.updated(this.#updatedWithCopies);
    const results = await running;
    const { loss, gradientNorm, logitScale, layerGradientNorms, layerTrustRatios, ...metrics } = results;
    return {
      loss: loss!.item(),
      gradientNorm: gradientNorm!.item(),
      logitScale: Math.exp(logitScale!.item()),
      metrics: Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, value.item()])),
      ...(layerGradientNorms && { layers: this.#layers(layerGradientNorms, layerTrustRatios) }),
    };
  }

  /** The programs compiled so far, for their statistics and profiles. */
  async programs(): Promise<Program[]> {
    return (await Promise.all([...this.#programs.values()].map((program) => program.programs()))).flat();
  }

  dispose(): void {
    for (const program of this.#programs.values()) program.dispose();
    this.#programs.clear();
    this.#known.clear();
    this.#copies.dispose();
  }

  #programFor({ patchDropout, detail = false }: StepKind): ShapedProgram {
    const key = `${patchDropout} ${detail}`;
    const known = this.#programs.get(key);
    if (known) return known;
    const program = compileByShape(this.config.device, (inputs) =>
      this.#record(inputs as StepInputs & Record<string, Tensor>, patchDropout, detail),
    );
    this.#programs.set(key, program);
    return program;
  }

  #record(
    inputs: StepInputs & Record<string, Tensor>,
    patchDropout: number,
    detail: boolean,
  ): Record<string, Operand> {
    const { tokens, cuSeqlens, textEnds, images, learningRates, step, seed, ...tensors } = inputs;
    const { model, optimizer, gradCheckpointing = false } = this.config;
    const graph = Graph.current;
    graph.checkpointsBlocks = gradCheckpointing;
    graph.weightCopies = this.#copies;
    const { loss, metrics } = callObjective(
      this.#objective,
      objectiveStep({
        model,
        images: this.#recordImages(images ? { ...tensors, images } : tensors),
        captions: { tokens, cuSeqlens, textEnds },
        tensors,
        seed,
        patchDropout,
      }),
    );
    const gradients = grad(loss, optimizer.parameters);
    const { gradientNorm, trustRatios } = optimizer.update(gradients, {
      learningRates,
      step,
      copyOf: (parameter) => this.#copies.copyOf(parameter),
    });
    const following = this.#afterUpdate({ model, optimizer, step, gradientNorm });
    // What `afterUpdate` changes once more has a copy that is out of date.
    this.#updatedWithCopies = optimizer.parameters.filter((parameter) => graph.updates.get(parameter) === 1);
    return {
      ...collectMetrics(metrics, following ?? undefined),
      loss,
      gradientNorm,
      logitScale: model.logitScale,
      ...(detail && { layerGradientNorms: concat(gradients.map(normOf)) }),
      ...(detail && trustRatios && { layerTrustRatios: trustRatios }),
    };
  }

  #layers(norms: HostTensor, ratios: HostTensor | undefined): Record<string, LayerReport> {
    return Object.fromEntries(
      this.config.optimizer.parameters.map(({ name }, i) => {
        const gradientNorm = Number(norms.data[i]);
        return [name, ratios ? { gradientNorm, trustRatio: Number(ratios.data[i]) } : { gradientNorm }];
      }),
    );
  }
}

/** → [1] f32 */
function normOf(gradient: Tensor): Tensor {
  return reshape(globalNorm([gradient]), [1]);
}

/** @throws EvaClipError `ERR_EVACLIP_NAN_LOSS` when the loss or the gradient norm is not a finite number. */
export function checkFinite(
  { loss, gradientNorm }: Pick<StepResult, "loss" | "gradientNorm">,
  step: number,
): void {
  if (Number.isFinite(loss) && Number.isFinite(gradientNorm)) return;
  throw new EvaClipError(
    "ERR_EVACLIP_NAN_LOSS",
    `step ${step}: the loss is ${loss} and the gradient norm ${gradientNorm}` +
      `${Number.isFinite(gradientNorm) ? "" : "; the step changed nothing"}. ` +
      "Lower the learning rate, lengthen the warm-up, or clip the gradient norm",
    { step, loss, gradientNorm },
  );
}
