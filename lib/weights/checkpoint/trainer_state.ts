import { join } from "node:path";
import { z } from "zod";
import type { Json } from "../../data/dataset";
import { EvaClipError } from "../../errors";
import { readJson } from "../../io/json_file";

export const STATE_FILE = "trainer_state.json";

/** A run's settings by name, to compare with those of the run that goes on from its checkpoint; null is one not given. */
export type RunSettings = Readonly<Record<string, Json>>;

const trainerState = z.object({
  version: z.literal(1),
  /** Updates done. */
  step: z.int().nonnegative(),
  samplesSeen: z.int().nonnegative(),
  seed: z.int(),
  /** Where the data go on. */
  cursor: z.json(),
  /** Shared by the checkpoints of one run and of those that went on from its newest. Older files have none. */
  lineage: z.string().optional(),
  /** What the run was set to. Older files have none. */
  settings: z.record(z.string(), z.json()).optional(),
});

const stateFile = trainerState.extend({
  /** Of the values in the files beside this one. Older files have none. */
  checksums: z.object({ model: z.int(), optimizer: z.int() }).optional(),
});

/** What a run needs besides tensors to go on exactly. */
export interface TrainerState extends Omit<z.infer<typeof trainerState>, "cursor" | "settings"> {
  cursor: Json;
  settings?: RunSettings | undefined;
}

/** What the state file of a checkpoint holds. */
export type StateFile = TrainerState & Pick<z.infer<typeof stateFile>, "checksums">;

/** @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT`, `ERR_EVACLIP_IO`. */
export async function readStateFile(folder: string): Promise<StateFile> {
  const path = join(folder, STATE_FILE);
  const parsed = stateFile.safeParse(await readJson(path));
  if (parsed.success) return parsed.data as StateFile;
  const problems = parsed.error.issues.map(({ path: field, message }) => `${field.join(".")}: ${message}`);
  const message = `${path} is not the state of a run: ${problems.join("; ")}`;
  throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_CORRUPT", message, { path });
}

/** The state that a checkpoint's folder holds. @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT`, `ERR_EVACLIP_IO`. */
export async function readTrainerState(folder: string): Promise<TrainerState> {
  const { checksums: _, ...state } = await readStateFile(folder);
  return state;
}
