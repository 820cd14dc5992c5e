import { options, ownArgument, wholeNumber } from "../arguments";
import type { Parameter } from "../parameter";
import type { TowerLayer } from "../parameter_role";
import { depthsOf, parameterList } from "./parameter_groups";

/** How to freeze a tower. */
export interface TowerLock {
  /**
   * Number of groups that stay trainable, counted from the output: the head; the last block with the final norm; each
   * other block; everything before the first block (open_clip's `lock`). Default 0.
   */
  readonly unlockedGroups?: number;
}

/** The towers to freeze (Zhai et al. 2022, LiT); a tower that is not given is trained completely. */
export interface TowerLocks {
  readonly image?: TowerLock | undefined;
  readonly text?: TowerLock | undefined;
}

const towerLock = options({ unlockedGroups: wholeNumber.optional() }).optional();
const towerLocks = options({ image: towerLock, text: towerLock });

/** 0 for everything before the first block, i + 1 for block i, depth for the final norm, depth + 1 for the head. */
function groupOf(layer: TowerLayer | undefined, depth: number): number {
  if (typeof layer === "number") return layer + 1;
  if (layer === "final_norm") return depth;
  return layer === "head" ? depth + 1 : 0;
}

/**
 * The parameters that stay trainable, for `parameterRules`; frozen ones have no gradient, no moments and no backward
 * pass. Parameters outside the towers are never frozen.
 * @param given All parameters of the model.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for an invalid number of groups
 */
export function unlockedParameters(given: readonly Parameter[], towers: TowerLocks): Parameter[] {
  const all = ownArgument("unlockedParameters: all", given, parameterList);
  const locks = ownArgument("unlockedParameters: locks", towers, towerLocks);
  const depths = depthsOf(all);
  return all.filter(({ role }) => {
    const lock = role?.tower && locks[role.tower];
    if (!role?.tower || !lock) return true;
    const depth = depths[role.tower];
    return groupOf(role.layer, depth) >= depth + 2 - (lock.unlockedGroups ?? 0);
  });
}
