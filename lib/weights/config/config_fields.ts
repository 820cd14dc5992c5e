import { EvaClipError } from "../../errors";
import type { ClipConfigInput } from "../../models/clip_config";

/** Some fields of a configuration, to complete or override those of a file. */
export interface ConfigFields {
  readonly embed_dim?: number;
  readonly quick_gelu?: boolean;
  readonly custom_text?: boolean;
  readonly init_logit_scale?: number;
  readonly init_logit_bias?: number;
  readonly vision_cfg?: Partial<ClipConfigInput["vision_cfg"]>;
  readonly text_cfg?: Partial<ClipConfigInput["text_cfg"]>;
  readonly preprocess_cfg?: ClipConfigInput["preprocess_cfg"];
}

/** A configuration with some fields replaced. */
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

export const activationName = (isQuick: boolean) => (isQuick ? "QuickGELU" : "GELU");

/** @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` when the stated activation contradicts the known one */
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
