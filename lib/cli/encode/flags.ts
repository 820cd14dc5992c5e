import type { ModelFlags } from "../model_flags";

export interface EncodeFlags extends ModelFlags {
  text: string[];
  batchSize: number;
  out?: string;
}
