import { join } from "node:path";
import { z } from "zod";
import type { Json } from "../../data/dataset";
import { EvaClipError } from "../../errors";
import { readJson } from "../../io/json_file";

export const STATE_FILE = "trainer_state.json";

/** A run's settings by name, to compare with those of the run that resumes its checkpoint; null: not given. */
export type RunSettings = Readonly<Record<string, Json>>;

const trainerState = z.object({
  version: z.literal(1),
  /** Updates done. */
  step: z.int().nonnegative(),
  samplesSeen: z.int().nonnegative(),
  seed: z.int(),
  /** From where the data are read next. */
  cursor: z.json(),
  /** Shared by the checkpoints of one run, and of the runs that resumed its newest. */
  lineage: z.string().optional(),
  settings: z.record(z.string(), z.json()).optional(),
});

const stateFile = trainerState.extend({
  /** The parameter groups of the checkpoint by name, `NAME.safetensors`, and the checksum of each group's values. */
  groups: z.record(z.string(), z.int()),
});

/** The state of a run, in addition to its tensors, that resuming exactly requires. */
export interface TrainerState extends Omit<z.infer<typeof trainerState>, "cursor" | "settings"> {
  cursor: Json;
  settings?: RunSettings | undefined;
}

/** The content of a checkpoint's state file. */
export type StateFile = TrainerState & Pick<z.infer<typeof stateFile>, "groups">;

/** @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT`, `ERR_EVACLIP_IO`. */
export async function readStateFile(folder: string): Promise<StateFile> {
  const path = join(folder, STATE_FILE);
  const parsed = stateFile.safeParse(await readJson(path));
  if (parsed.success) return parsed.data as StateFile;
  const problems = parsed.error.issues.map(({ path: field, message }) => `${field.join(".")}: ${message}`);
  const message = `${path} is not the state of a run: ${problems.join("; ")}`;
  throw new EvaClipError("ERR_EVACLIP_CHECKPOINT_CORRUPT", message, { path });
}

/** The state in a checkpoint's folder. @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT`, `ERR_EVACLIP_IO`. */
export async function readTrainerState(folder: string): Promise<TrainerState> {
  const { groups: _, ...state } = await readStateFile(folder);
  return state;
}
