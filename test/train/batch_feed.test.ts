import type { StagedInputs } from "../../lib/staged_inputs";
import { BatchFeed } from "../../lib/train/batch_feed";
import type { BatchAt } from "../../lib/train/batch_source";
import { tinyBatch } from "../support/tiny_clip";

/** Three batches, and whether the stream was closed. */
function threeBatches() {
  const state = { closed: false };
  const batches = (async function* (): AsyncGenerator<BatchAt> {
    try {
      for (let i = 0; i < 3; i++) yield { batch: tinyBatch(i), cursor: i };
    } finally {
      state.closed = true;
    }
  })();
  return { state, batches };
}

/** Stages nothing, and counts what is given up. */
function fakeStaging() {
  const given: unknown[] = [];
  const disposed: unknown[] = [];
  const stage = async (batch: unknown) => {
    given.push(batch);
    return { dispose: () => disposed.push(batch) } as unknown as StagedInputs;
  };
  return { given, disposed, stage };
}

const turns = () => new Promise((later) => setTimeout(later, 10));

test("the batch that is prepared is staged as soon as it was read; one that is taken at once is not", async () => {
  const { batches } = threeBatches();
  const { given, stage } = fakeStaging();
  const feed = new BatchFeed(batches);
  expect(await (await feed.take())!.staged).toBeUndefined();
  feed.prepare(stage);
  await turns();
  expect(given).toHaveLength(1);
  const fed = (await feed.take())!;
  expect(fed.cursor).toBe(1);
  expect(given).toEqual([fed.batch]);
  expect(await fed.staged).toHaveProperty("dispose");
  await feed.close();
});

test("an error of staging is not that of the batch: its step reports it", async () => {
  const { batches } = threeBatches();
  const feed = new BatchFeed(batches);
  feed.prepare(() => Promise.reject(new Error("no memory")));
  const fed = (await feed.take())!;
  await turns();
  await expect(fed.staged).rejects.toThrow("no memory");
  await feed.close();
});

test("what no step has taken is given up when the feed closes, also after an abort", async () => {
  for (const aborted of [false, true]) {
    const { batches, state } = threeBatches();
    const { given, disposed, stage } = fakeStaging();
    const feed = new BatchFeed(batches);
    await feed.take();
    feed.prepare(stage);
    await turns();
    if (aborted) await expect(feed.take(AbortSignal.abort(new Error("stop")))).rejects.toThrow("stop");
    await feed.close();
    await turns();
    expect(disposed).toEqual(given);
    expect(disposed).toHaveLength(1);
    expect(state.closed).toBe(true);
  }
});
