import { type KnownModel, knownModels } from "../../index";
import { count, printResult, table } from "../output";
import type { ModelsFlags } from "./flags";

const HEADINGS = ["model", "image", "text", "total", "GFLOPs", "pixels", "top-1", "of the weights"];

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

function describe(models: readonly KnownModel[]): string {
  const sources = [...new Set(models.flatMap(({ zeroShot }) => zeroShot?.source ?? []))];
  return [
    table(HEADINGS, models.map(rowOf)),
    "",
    "GFLOPs are of one image and one caption of full length, two for each multiplication and addition.",
    `top-1 is zero-shot on ImageNet-1K, in percent: ${sources.join("; ")}.`,
  ].join("\n");
}

export function listModels({ json }: ModelsFlags): void {
  printResult(knownModels(), json, describe);
}
