import type { Dataset } from "../dataset";

/** A data set of the first `count` samples of each epoch, counted from the position it is opened at. */
export function firstSamples(dataset: Dataset, count: number): Dataset {
  return {
    ...dataset,
    ...(dataset.size !== undefined && { size: Math.min(dataset.size, count) }),
    async *open(request) {
      let left = count;
      for await (const sample of dataset.open(request)) {
        yield sample;
        if (--left === 0) return;
      }
    },
  };
}
