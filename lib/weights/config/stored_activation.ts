import { z } from "zod";
import type { TensorSource } from "../../io/tensor_source";
import { archiveActivation } from "./infer_config";
import type { StoredLayout } from "../layouts/layout";
import { CONFIG_FILE, jsonBeside } from "./config_files";
import { findConfig } from "./resolve_config";

/** The activation that weights were trained with, and why it is known. */
export interface StoredActivation {
  readonly quickGelu: boolean;
  readonly reason: string;
}

/** transformers' configuration of a text tower or an image tower alone. */
const towerConfig = z.object({ hidden_act: z.enum(["gelu", "quick_gelu"]) });

/** The activation that a file's weights were trained with; undefined when it is unknown. */
export async function storedActivation(
  source: TensorSource,
  stored: StoredLayout,
): Promise<StoredActivation | undefined> {
  if (archiveActivation(source.tensors)) return { quickGelu: true, reason: "OpenAI trained with it" };
  const found = await findConfig(source, stored);
  if (found?.config.quick_gelu !== undefined) {
    return { quickGelu: found.config.quick_gelu, reason: `${found.where} says so` };
  }
  const alone = towerConfig.safeParse(await jsonBeside(source, CONFIG_FILE));
  if (alone.success) {
    return { quickGelu: alone.data.hidden_act === "quick_gelu", reason: `${CONFIG_FILE} next to it says so` };
  }
  return stored.imageTower?.activation;
}
