import { native } from "../../lib/native";
import { OP_OUTPUTS, OP_UPDATES } from "../../lib/op_outputs";

test("the outputs that apply is typed with are those that the ops declare", () => {
  const declared = Object.entries(native().opFields()).map(([op, fields]) => [
    op,
    fields.filter(([, kind]) => kind === "output").map(([field]) => field),
  ]);
  expect(OP_OUTPUTS).toEqual(Object.fromEntries(declared));
});

test("the fields that an op is said to change in place are those that it declares", () => {
  const declared = Object.entries(native().opFields()).flatMap(([op, fields]) => {
    const updated = fields.filter(([, kind]) => kind === "inout_list").map(([field]) => field);
    return updated.length > 0 ? [[op, updated]] : [];
  });
  expect(OP_UPDATES).toEqual(Object.fromEntries(declared));
});
