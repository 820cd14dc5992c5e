import { epochOf, numberedDataset } from "./sample_files";

const keys = async (...args: Parameters<typeof epochOf>) => (await epochOf(...args)).map(({ key }) => key);

describe("indexedDataset", () => {
  const dataset = numberedDataset(50);

  test("keeps its own order without shuffling", async () => {
    expect(await keys(dataset)).toEqual(Array.from({ length: 50 }, (_, i) => `sample ${i}`));
  });

  test("shuffles by seed and epoch, each sample once", async () => {
    const order = await keys(dataset, { shuffle: true, seed: 1, epoch: 3 });
    expect(new Set(order).size).toBe(50);
    expect(order).toEqual(await keys(dataset, { shuffle: true, seed: 1, epoch: 3 }));
    expect(order).not.toEqual(await keys(dataset, { shuffle: true, seed: 1, epoch: 4 }));
    expect(order).not.toEqual(await keys(dataset, { shuffle: true, seed: 2, epoch: 3 }));
  });

  test("goes on after any sample", async () => {
    const request = { shuffle: true, seed: 5, epoch: 1 };
    const whole = await epochOf(dataset, request);
    const rest = await epochOf(dataset, { ...request, position: whole[16]!.next });
    expect(rest.map(({ key, index }) => [key, index])).toEqual(
      whole.slice(17).map(({ key, index }) => [key, index]),
    );
    expect(await epochOf(dataset, { ...request, position: whole[49]!.next })).toEqual([]);
  });

  test.each([[51], [-1], ["3"], [{ shard: 0 }]])(
    "refuses the cursor %j of another data set",
    async (position) => {
      await expect(epochOf(dataset, { position })).rejects.toMatchObject({ code: "ERR_EVACLIP_DATA" });
    },
  );
});
