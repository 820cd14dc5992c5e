import { trainWithTeacher } from "../../examples/custom_objective";

test("an objective of one's own trains the model and a projection that only it uses", async () => {
  const events = await trainWithTeacher(60);
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value / values.length, 0);
  const [first, last] = [events.slice(0, 5), events.slice(-5)];
  const losses = [first, last].map((some) => mean(some.map(({ loss }) => loss)));
  const distances = [first, last].map((some) => mean(some.map(({ metrics }) => metrics.distance!)));
  expect(losses[1]).toBeLessThan(0.6 * losses[0]!);
  expect(distances[1]).toBeLessThan(0.6 * distances[0]!);
});
