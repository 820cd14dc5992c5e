import { invalidArgument } from "../../arguments";
import type { BuildPart } from "../../search";

/** Variables of the rank and the number of processes: torchrun and most others, Open MPI, MPICH, Slurm. */
const VARIABLES = [
  ["RANK", "WORLD_SIZE"],
  ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"],
  ["PMI_RANK", "PMI_SIZE"],
  ["SLURM_PROCID", "SLURM_NTASKS"],
] as const;

/**
 * The share of this process as its launcher states it; undefined if nothing does.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a rank without a size, or numbers that make no sense
 */
export function partOfBuild(environment: NodeJS.ProcessEnv = process.env): BuildPart | undefined {
  // An empty variable counts as unset.
  const given = VARIABLES.find((names) => names.some((name) => environment[name]));
  if (given === undefined) return undefined;
  const [rank, size] = given.map((name) => Number(environment[name] || Number.NaN)) as [number, number];
  if (Number.isInteger(rank) && Number.isInteger(size) && rank >= 0 && rank < size) return { rank, size };
  const found = given.map((name) => `${name}=${environment[name] ?? ""}`).join(", ");
  throw invalidArgument(`${found}: expected a rank from 0 to below the number of processes`);
}
