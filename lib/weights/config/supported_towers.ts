import type { TensorSource } from "../../io/tensor_source";
import { invalidConfig } from "./config_fields";

/** Published towers that are not supported, by how their names begin. */
const OTHER_TOWERS: readonly (readonly [RegExp, string])[] = [
  [/^visual\.(layer\d+|attnpool|trunk\.layer\d+)\./, "a ResNet image tower"],
  [/^visual\.trunk\.(stem|stages)\./, "a convolutional image tower of timm"],
  [/^visual\.trunk\.attn_pool\./, "an image tower of timm with attention pooling"],
  [/^text\.transformer\.(embeddings|encoder|shared|layers)\./, "a text tower of transformers"],
];

/**
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` for a file with an unsupported tower, whatever its configuration
 */
export function checkSupported({ path, tensors }: Pick<TensorSource, "path" | "tensors">): void {
  for (const name of tensors.keys()) {
    const tower = OTHER_TOWERS.find(([names]) => names.test(name))?.[1];
    if (tower === undefined) continue;
    const message = `${path} has ${tower} (${name}), which is not supported: EVA's and plain vision transformers are`;
    throw invalidConfig(message, { path, tensor: name });
  }
}
