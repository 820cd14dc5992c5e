import type { ModelFlags } from "../model_flags";

export interface SearchFlags extends ModelFlags {
  image: string[];
  count: number;
  where?: string;
}
