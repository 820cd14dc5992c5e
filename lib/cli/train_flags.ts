import { invalidArgument } from "../arguments";
import type { TrainFlags } from "./train_command";

type Condition = (flags: TrainFlags) => boolean;

const hasPretrained: Condition = ({ pretrained, pretrainedImage, pretrainedText }) =>
  [pretrained, pretrainedImage, pretrainedText].some((path) => path !== undefined);
const ANY_PRETRAINED = "--pretrained, --pretrained-image or --pretrained-text";

const coolsDown: Condition = ({ lrScheduler, skipScheduler }) =>
  lrScheduler === "const-cooldown" && !skipScheduler;

/** Flags that change nothing without another one: who gives one alone expects something that does not come. */
const DEPENDENT: readonly [flag: keyof TrainFlags, isOfUse: Condition, needs: string][] = [
  ["restartData", ({ resume }) => resume !== undefined, "--resume"],
  ["skipList", hasPretrained, ANY_PRETRAINED],
  ["pretrainedActivation", hasPretrained, ANY_PRETRAINED],
  ["lockImageUnlockedGroups", ({ lockImage }) => lockImage, "--lock-image"],
  ["lockTextUnlockedLayers", ({ lockText }) => lockText, "--lock-text"],
  ["lambVariant", ({ opt }) => opt === "lamb", "--opt lamb"],
  ["epochsCooldown", coolsDown, "--lr-scheduler const-cooldown"],
];

/** @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` for flags that do not go together */
export function checkFlags(flags: TrainFlags): void {
  for (const [name, isOfUse, needs] of DEPENDENT) {
    const isGiven = flags[name] !== undefined && flags[name] !== false;
    if (!isGiven || isOfUse(flags)) continue;
    const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    throw invalidArgument(`${flag} does nothing without ${needs}`, { flag });
  }
  if (!coolsDown(flags) || flags.epochsCooldown !== undefined) return;
  throw invalidArgument(
    "--lr-scheduler const-cooldown needs --epochs-cooldown, the epochs in which it falls",
  );
}
