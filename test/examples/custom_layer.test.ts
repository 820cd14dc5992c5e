import { trainRing } from "../../examples/custom_layer";

test("a user's own layer learns", async () => {
  const losses = await trainRing(120);
  const late = losses.slice(-20).reduce((sum, loss) => sum + loss, 0) / 20;
  expect(losses[0]).toBeGreaterThan(0.5);
  expect(late).toBeLessThan(0.3);
});
