import { readSquares } from "../../examples/custom_dataset";

test("a user's own data set is read in full, without the damaged sample", async () => {
  const write = jest.spyOn(process.stderr, "write").mockReturnValue(true);
  const { keys, skips } = await readSquares();
  expect(write).toHaveBeenCalledWith(expect.stringContaining("orange is damaged"));
  write.mockRestore();
  expect([...keys].sort()).toEqual(["black", "blue", "green", "purple", "red", "white", "yellow"]);
  expect(skips).toEqual({ undecodable_image: 1 });
});
