import { native } from "../../lib/native";
import { OP_OUTPUTS } from "../../lib/op_outputs";

test("the outputs that apply is typed with are those that the ops declare", () => {
  const declared = Object.entries(native().opFields()).map(([op, fields]) => [
    op,
    fields.filter(([, kind]) => kind === "output").map(([field]) => field),
  ]);
  expect(OP_OUTPUTS).toEqual(Object.fromEntries(declared));
});
