import type { Command } from "commander";
import { refuseGiven } from "../given_words";
import type { TrainFlags } from "./flags";

type Condition = (flags: TrainFlags) => boolean;

const hasPretrained: Condition = ({ pretrained, pretrainedImagePath, pretrainedTextPath }) =>
  [pretrained, pretrainedImagePath, pretrainedTextPath].some((path) => path !== undefined);
const ANY_PRETRAINED = "--pretrained, --pretrained-image-path or --pretrained-text-path";

const coolsDown: Condition = ({ lrScheduler, skipScheduler }) =>
  lrScheduler === "const-cooldown" && !skipScheduler;

/** Flags that have an effect only with another one. */
const DEPENDENT: readonly [flag: keyof TrainFlags, hasEffect: Condition, needs: string][] = [
  ["restartData", ({ resume }) => resume !== undefined, "--resume"],
  ["skipList", hasPretrained, ANY_PRETRAINED],
  ["pretrainedActivation", hasPretrained, ANY_PRETRAINED],
  ["pretrainedEma", hasPretrained, ANY_PRETRAINED],
  ["lockImageUnlockedGroups", ({ lockImage }) => lockImage, "--lock-image"],
  ["lockTextUnlockedLayers", ({ lockText }) => lockText, "--lock-text"],
  ["lambVariant", ({ opt }) => opt === "lamb", "--opt lamb"],
  ["epochsCooldown", coolsDown, "--lr-scheduler const-cooldown"],
  ["valNumSamples", ({ valData }) => valData !== undefined, "--val-data"],
  ["valFrequency", ({ valData }) => valData !== undefined, "--val-data"],
  ["zeroshotFrequency", ({ imagenetVal }) => imagenetVal !== undefined, "--imagenet-val"],
];

/** Throws for flags that have no effect. */
export function checkFlags(command: Command, flags: TrainFlags): void {
  for (const [name, hasEffect, needs] of DEPENDENT) {
    if (!hasEffect(flags)) refuseGiven(command, [name], `has no effect without ${needs}`);
  }
  if (!coolsDown(flags) || flags.epochsCooldown !== undefined) return;
  refuseGiven(
    command,
    ["lrScheduler"],
    "const-cooldown needs --epochs-cooldown, the number of epochs in which it falls",
  );
}
