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

function hasEvaTower({ tensors }: TensorSource, { layout }: StoredLayout): boolean {
  const { image } = layout.landmarks;
  const has = (name: string) => tensors.has(name);
  return image?.every(has) === true && layout.imageFamily(has) === "eva";
}

/** The activation of the text tower, or of the plain image tower, in a file; undefined when nothing tells. */
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
    return { quickGelu: alone.data.hidden_act === "quick_gelu", reason: `${CONFIG_FILE} beside it says so` };
  }
  return hasEvaTower(source, stored) ? { quickGelu: false, reason: "EVA-CLIP trained with it" } : undefined;
}
