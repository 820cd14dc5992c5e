import { performance } from "node:perf_hooks";
import { inTurn, inTurns } from "../../lib/image/turns";
import { eventLoopHeldMs } from "../support/event_loop";

function compute(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

test("does every piece once, in order", async () => {
  const done: number[] = [];
  await inTurns(7, 2, (begin, end) => {
    for (let i = begin; i < end; i++) done.push(i);
  });
  expect(done).toEqual([0, 1, 2, 3, 4, 5, 6]);
});

test("what is under way at a time does not hold the event loop together", async () => {
  const held = await eventLoopHeldMs(20, () =>
    Promise.all(Array.from({ length: 12 }, () => inTurns(4, 1, () => compute(2)))),
  );
  expect(held).toBeLessThan(20);
});

test("what begins at a time does not hold the event loop together", async () => {
  const held = await eventLoopHeldMs(20, () =>
    Promise.all(Array.from({ length: 24 }, () => inTurn(() => compute(2)))),
  );
  expect(held).toBeLessThan(20);
});

test("the result and the error of work are the caller's", async () => {
  await expect(inTurn(async () => "done")).resolves.toBe("done");
  await expect(
    inTurn(() => {
      throw new Error("failed");
    }),
  ).rejects.toThrow("failed");
});

test("many that have little to do share a turn, also after one whose time is used up", async () => {
  await inTurns(1, 1, () => compute(5));
  let turns = 0;
  let isDone = false;
  const count = () => {
    turns++;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  await Promise.all(Array.from({ length: 500 }, () => inTurns(1, 1, () => undefined)));
  isDone = true;
  expect(turns).toBeLessThan(50);
});
