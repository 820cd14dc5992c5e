import { options, ownArgument, wholeNumber } from "../arguments";
import type { Parameter } from "../parameter";
import { depthsOf, layerOf, parameterList, towerOf } from "./parameter_groups";

/** Of a locked tower, what is trained all the same. */
export interface TowerLock {
  /**
   * Groups counted from the output: the projection; the last block with the norm behind it; one block each; what stands
   * before the first block (open_clip's `lock`). Default 0: nothing.
   */
  readonly unlockedGroups?: number;
}

/** Towers that keep their weights (Zhai et al. 2022, LiT); a tower left out is trained as a whole. */
export interface TowerLocks {
  readonly image?: TowerLock | undefined;
  readonly text?: TowerLock | undefined;
}

const towerLock = options({ unlockedGroups: wholeNumber.optional() }).optional();
const towerLocks = options({ image: towerLock, text: towerLock });

/** Before the first block, though layer-wise decay counts it among what follows the last. */
const NORM_BEFORE = /\.ln_pre\./;
const PROJECTION = /\.head\.(weight|bias)$|(^|\.)(proj|text_projection)$/;

/** 0 for what stands before the first block, i + 1 for block i, depth for the norm behind the last, depth + 1 for the head. */
function groupOf(name: string, depth: number): number {
  const layer = NORM_BEFORE.test(name) ? 0 : layerOf(name, depth);
  return layer > depth && !PROJECTION.test(name) ? depth : layer;
}

/**
 * The parameters that are left to train: for `parameterRules`, so that the others get no gradient, no moments and no
 * backward work.
 * @param given Every parameter of the model.
 * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for a number of groups that cannot be.
 */
export function unlockedParameters(given: readonly Parameter[], towers: TowerLocks): Parameter[] {
  const all = ownArgument("unlockedParameters: all", given, parameterList);
  const locks = ownArgument("unlockedParameters: locks", towers, towerLocks);
  const depths = depthsOf(all);
  return all.filter(({ name }) => {
    const tower = towerOf(name);
    const lock = tower === "other" ? undefined : locks[tower];
    if (!lock) return true;
    const groups = depths[tower] + 2;
    return groupOf(name, depths[tower]) >= groups - (lock.unlockedGroups ?? 0);
  });
}
