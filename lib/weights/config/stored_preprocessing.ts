import { z } from "zod";
import type { TensorSource } from "../../io/tensor_source";
import { parsePreprocessing, withoutNulls } from "../../models/clip_config";
import type { Preprocessing } from "../../image/preprocessing";
import { CONFIG_FILE, jsonBeside, OPEN_CLIP_CONFIG_FILE, pathBeside } from "./config_files";
import { fromPreprocessorConfig, PREPROCESSOR_FILE } from "./hugging_face_preprocessing";
import type { LayoutName } from "../layouts/layout";

const record = z.record(z.string(), z.unknown());
const withPreprocessing = z.object({ preprocess_cfg: record });
/** timm's config.json of an image tower alone. */
const withTimm = z.object({
  pretrained_cfg: z.object({
    input_size: z.array(z.number()).optional(),
    mean: z.array(z.number()),
    std: z.array(z.number()),
    interpolation: z.string(),
    crop_pct: z.number().optional(),
    crop_mode: z.string().optional(),
  }),
});

/** From timm's crop modes to open_clip's resize modes. */
const TIMM_MODES: Record<string, string> = { center: "shortest", squash: "squash", border: "longest" };

function fromTimm(json: unknown, path: string): Preprocessing | undefined {
  const parsed = withTimm.safeParse(withoutNulls(json));
  if (!parsed.success) return undefined;
  const {
    mean,
    std,
    interpolation,
    crop_pct = 1,
    crop_mode = "center",
    input_size,
  } = parsed.data.pretrained_cfg;
  const resize_mode = TIMM_MODES[crop_mode] ?? crop_mode;
  const side = input_size?.at(-1);
  // timm rounds the resized side down; this fraction gives the same side.
  const share = side === undefined ? crop_pct : side / Math.floor(side / crop_pct);
  return parsePreprocessing(
    { mean, std, interpolation, resize_mode, crop_pct: share },
    `${path}: pretrained_cfg`,
  );
}

/** The preprocessing stated in a file next to the weights, and that file. */
export interface StatedPreprocessing {
  readonly preprocessing: Preprocessing;
  readonly where: string;
}

/**
 * The preprocessing stated in files next to the weights; undefined if there is none.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_CONFIG` naming the file and the unsupported field
 */
export async function storedPreprocessing(
  source: Pick<TensorSource, "path" | "metadata">,
  layout: LayoutName,
): Promise<StatedPreprocessing | undefined> {
  const read = async (name: string, parse: (json: unknown, path: string) => Preprocessing | undefined) => {
    const json = await jsonBeside(source, name);
    const path = pathBeside(source, name);
    const preprocessing = json === undefined ? undefined : parse(json, path);
    return preprocessing && { preprocessing, where: path };
  };
  const ours = (json: unknown, path: string) => {
    const stated = withPreprocessing.safeParse(withoutNulls(json));
    return stated.success
      ? parsePreprocessing(stated.data.preprocess_cfg, `${path}: preprocess_cfg`)
      : undefined;
  };
  const theirs = () => read(PREPROCESSOR_FILE, fromPreprocessorConfig);
  const own = async () => (await read(CONFIG_FILE, ours)) ?? (await read(OPEN_CLIP_CONFIG_FILE, ours));
  const found =
    layout === "hugging_face" ? ((await theirs()) ?? (await own())) : ((await own()) ?? (await theirs()));
  return found ?? (await read(CONFIG_FILE, fromTimm));
}
