import type { Command } from "commander";
import { refuseGiven } from "../given_words";
import type { TrainFlags } from "./flags";

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
  ["pretrainedEma", hasPretrained, ANY_PRETRAINED],
  ["lockImageUnlockedGroups", ({ lockImage }) => lockImage, "--lock-image"],
  ["lockTextUnlockedLayers", ({ lockText }) => lockText, "--lock-text"],
  ["lambVariant", ({ opt }) => opt === "lamb", "--opt lamb"],
  ["epochsCooldown", coolsDown, "--lr-scheduler const-cooldown"],
];

/** Refuses flags that do not go together. */
export function checkFlags(command: Command, flags: TrainFlags): void {
  for (const [name, isOfUse, needs] of DEPENDENT) {
    if (!isOfUse(flags)) refuseGiven(command, [name], `does nothing without ${needs}`);
  }
  if (!coolsDown(flags) || flags.epochsCooldown !== undefined) return;
  refuseGiven(
    command,
    ["lrScheduler"],
    "const-cooldown needs --epochs-cooldown, the epochs in which it falls",
  );
}
