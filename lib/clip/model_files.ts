import { dirname } from "node:path";
import { checkStatedModel } from "../weights/config/stated_model";
import { isDerived, type StoredLayout } from "../weights/layouts/layout";
import { type LoadPlan, planLoad } from "../weights/load_plan";
import type { LoadReport } from "../weights/load_report";
import { carryOutLoad } from "../weights/load_weights";
import { detectLayout } from "../weights/layouts/detect_layout";
import { type ConfigSource, type ConfigStatement, resolveConfig } from "../weights/config/resolve_config";
import { STORED_DTYPES, type WeightDType } from "../weights/weight_dtype";
import type { Device } from "../device";
import type { HostTensor } from "../host_tensor";
import type { TensorSource } from "../io/tensor_source";
import { type ClipConfig, parseClipConfig } from "../models/clip_config";
import type { ClipModel } from "../models/clip_model";
import { modelConfig } from "../models/known_models";
import { initializeParameters } from "../nn/initialize_parameters";
import type { Parameter } from "../parameter";
import { allocateModel } from "../weights/initialize";
import { type OpenWeightsOptions, openWeights } from "../weights/open_weights";
import type { Logger } from "../logger";
import type { Precision } from "../models/precision";
import type { LoadOptions } from "./eva_clip_options";

/** @throws EvaClipError `ERR_EVACLIP_UNKNOWN_MODEL` or `ERR_EVACLIP_INVALID_CONFIG` */
export function configOf(source: ConfigSource): ClipConfig {
  return typeof source === "string" ? modelConfig(source) : parseClipConfig(source);
}

export interface FillOptions {
  readonly precision: Precision;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onProgress?: LoadOptions["onProgress"] | undefined;
}

/** Reports parameters that do not get exactly the file's values. */
function logPlan({ report, unfilled }: LoadPlan, logger: Logger | undefined): void {
  for (const { name, origin, note } of report.parameters) {
    if (origin === "resized") logger?.info?.(`${report.path}: ${name} is resized: ${note}`);
  }
  for (const { name } of unfilled) {
    logger?.warn?.(
      `${report.path}: ${name} is not in the file, or not all of it: the rest has initial values`,
    );
  }
}

/** An open file of weights, and the configuration of their model. */
export class ModelFile implements AsyncDisposable {
  private constructor(
    private readonly source: TensorSource,
    private readonly stored: StoredLayout,
    readonly config: ClipConfig,
  ) {}

  /**
   * Opens weights in any known layout and resolves their configuration.
   * @throws EvaClipError as `openWeights`, `ERR_EVACLIP_CHECKPOINT_MISMATCH` for an unknown layout,
   *   `ERR_EVACLIP_INVALID_CONFIG` naming the fields to state
   */
  static async open(
    path: string,
    { config, quickGelu, preprocessing, ...how }: ConfigStatement & OpenWeightsOptions = {},
  ): Promise<ModelFile> {
    const statement = {
      ...(config !== undefined && { config }),
      ...(quickGelu !== undefined && { quickGelu }),
      ...(preprocessing !== undefined && { preprocessing }),
    };
    const source = await openWeights(path, how);
    try {
      await checkStatedModel(dirname(source.path));
      const stored = detectLayout(source.tensors.keys(), source.path);
      return new ModelFile(source, stored, await resolveConfig(source, stored, statement));
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  get path(): string {
    return this.source.path;
  }

  /** The dtype of all weights; f32, which can hold the others, where they differ. */
  get weightType(): WeightDType {
    const weights = [...this.source.tensors].filter(([name]) => !isDerived(name));
    const types = new Set(weights.map(([, { dtype }]) => dtype));
    const [type] = types.size === 1 ? types : [];
    const found = (["bf16", "f16"] as const).find((candidate) => STORED_DTYPES[candidate] === type);
    return found ?? "f32";
  }

  /**
   * Allocates the parameters on `device` and reads the file's values. Nothing is allocated when the file does not match.
   */
  async fill(
    model: ClipModel,
    device: Device,
    { precision, signal, logger, onProgress }: FillOptions,
  ): Promise<LoadReport> {
    const plan = planLoad(model, this.source, this.stored);
    allocateModel(model, device, { dtype: precision });
    if (plan.unfilled.length > 0) await initializeParameters(device, plan.unfilled);
    logPlan(plan, logger);
    const sizes = plan.assignments.map(({ parameter }) => parameter.size);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    let done = 0;
    await onProgress?.(0);
    for (const [i, assignment] of plan.assignments.entries()) {
      await carryOutLoad({ assignments: [assignment] }, signal);
      done += sizes[i]!;
      await onProgress?.(done / total);
    }
    return plan.report;
  }

  /**
   * The file's values for the parameters of an unallocated model, in f32, each read on demand. Parameters that need initial
   * values are allocated permanently; the others only while they are read.
   */
  async valuesFor(
    model: ClipModel,
    device: Device,
  ): Promise<{ report: LoadReport; values: (parameter: Parameter) => Promise<HostTensor> }> {
    const { report, assignments, unfilled } = planLoad(model, this.source, this.stored);
    for (const parameter of unfilled) parameter.allocate(device);
    if (unfilled.length > 0) await initializeParameters(device, unfilled);
    const assignmentOf = new Map(assignments.map((assignment) => [assignment.parameter, assignment]));
    const values = async (parameter: Parameter): Promise<HostTensor> => {
      const assignment = assignmentOf.get(parameter);
      const isBrief = !parameter.allocated;
      if (isBrief) parameter.allocate(device);
      try {
        await carryOutLoad({ assignments: assignment ? [assignment] : [] });
        return await parameter.read();
      } finally {
        if (isBrief) parameter.dispose();
      }
    };
    return { report, values };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.source.close();
  }
}
