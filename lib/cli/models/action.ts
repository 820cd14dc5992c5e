import { type KnownModel, knownModels, type PublishedWeights } from "../../index";
import { columns, count, printResult, table } from "../output";
import type { ModelsFlags } from "./flags";

const HEADINGS = ["model", "image", "text", "total", "GFLOPs", "pixels", "top-1", "weights"];

function rowOf({ name, parameters, gflops, imageSize, zeroShot }: KnownModel): string[] {
  return [
    name,
    count(parameters.image),
    count(parameters.text),
    count(parameters.total),
    gflops.total.toFixed(2),
    String(imageSize),
    zeroShot?.top1.toFixed(1) ?? "",
    zeroShot?.weights ?? "",
  ];
}

/** A model's tags, that of the default weights first. */
function tagsOf({ weights, zeroShot }: KnownModel): string {
  const isDefault = ({ tag }: PublishedWeights) => tag === zeroShot?.weights;
  return [...weights.filter(isDefault), ...weights.filter((each) => !isDefault(each))]
    .map(({ tag }) => tag)
    .join(", ");
}

function describe(models: readonly KnownModel[]): string {
  const sources = [...new Set(models.flatMap(({ zeroShot }) => zeroShot?.source ?? []))];
  return [
    table(HEADINGS, models.map(rowOf)),
    "",
    "GFLOPs: one image and one caption of full length, 2 FLOPs per multiply-add.",
    `top-1: zero-shot accuracy on ImageNet-1K in percent; sources: ${sources.join("; ")}.`,
    "",
    "Weights that a model's name stands for, by their tags for --pretrained; the first is the default:",
    columns(models.filter(({ weights }) => weights.length > 0).map((each) => [each.name, tagsOf(each)])),
  ].join("\n");
}

export function listModels({ json }: ModelsFlags): void {
  printResult(knownModels(), json, describe);
}
