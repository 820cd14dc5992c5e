import type { Layout, LayoutName } from "./layout";
import { evaClip } from "./eva_clip";
import { evaMim } from "./eva_mim";
import { huggingFace } from "./hugging_face";
import { openClip } from "./open_clip";
import { openai } from "./openai";
import { timm } from "./timm";

/** Every layout; `timm` stands before `eva_mim`, whose names it shares and adds to. */
export const layouts = [
  openClip,
  evaClip,
  openai,
  huggingFace,
  timm,
  evaMim,
] as const satisfies readonly Layout[];

export const layoutNames: readonly LayoutName[] = Object.freeze(layouts.map(({ name }) => name));
