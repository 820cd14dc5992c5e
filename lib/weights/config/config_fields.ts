import { EvaClipError } from "../../errors";
import type { ClipConfigInput } from "../../models/clip_config";

/** Some fields of a configuration: what a person states of a file that does not tell all. */
export interface ConfigFields {
  readonly embed_dim?: number;
  readonly quick_gelu?: boolean;
  readonly custom_text?: boolean;
  readonly vision_cfg?: Partial<ClipConfigInput["vision_cfg"]>;
  readonly text_cfg?: Partial<ClipConfigInput["text_cfg"]>;
  readonly preprocess_cfg?: ClipConfigInput["preprocess_cfg"];
}

/** A configuration with fields stated anew. */
export function withFields(config: ClipConfigInput, stated: ConfigFields): ClipConfigInput {
  const { vision_cfg, text_cfg, ...rest } = stated;
  return {
    ...config,
    ...rest,
    vision_cfg: { ...config.vision_cfg, ...vision_cfg },
    text_cfg: { ...config.text_cfg, ...text_cfg },
  };
}

export function invalidConfig(message: string, details: Record<string, unknown> = {}): EvaClipError {
  return new EvaClipError("ERR_EVACLIP_INVALID_CONFIG", message, details);
}

const activationName = (isQuick: boolean) => (isQuick ? "QuickGELU" : "GELU");

/** @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` when a stated activation is not the one that is known for a reason */
export function checkActivation(
  path: string,
  stated: boolean | undefined,
  known: boolean | undefined,
  reason: string,
): void {
  if (stated === undefined || known === undefined || stated === known) return;
  throw invalidConfig(
    `${path} needs ${activationName(known)}, because ${reason}; quick_gelu ${stated} was stated`,
    { path, stated, known },
  );
}

/** The hidden width of an MLP, as the towers compute it. */
export function hiddenWidth({ width, mlp_ratio }: { width: number; mlp_ratio: number }): number {
  return Math.trunc(width * mlp_ratio);
}

/** A ratio that gives exactly this hidden width: the quotient, unless its rounding falls just short. */
export function mlpRatio(hidden: number, width: number): number {
  const quotient = hidden / width;
  return hiddenWidth({ width, mlp_ratio: quotient }) === hidden ? quotient : (hidden + 0.5) / width;
}
