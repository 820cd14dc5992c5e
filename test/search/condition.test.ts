import { EntryTable } from "../../lib/search/sql/entry_table";
import { readCondition } from "../../lib/search/sql/condition";

const fields = ["width", "class", "select", "naïve", "a b", 'q"q', "source"];

test.each([
  ["width > 300", "(json_extract(e.metadata, ?) > ?)", ['$."width"', 300n]],
  ["Source = 'it''s'", "(e.source = ?)", ["it's"]],
  ["select is null", "(json_extract(e.metadata, ?) is null)", ['$."select"']],
  ['"a b" = .5e1 and naïve <> 1e300', undefined, ['$."a b"', 5, '$."naïve"', 1e300]],
  [
    "'; drop table entries --' = class",
    "(? = json_extract(e.metadata, ?))",
    ["; drop table entries --", '$."class"'],
  ],
  [
    "lower(class) in ('a','b')",
    "(lower ( json_extract(e.metadata, ?) ) in ( ? , ? ))",
    ['$."class"', "a", "b"],
  ],
])("%s", (where, sql, values) => {
  const condition = readCondition(where, fields);
  if (sql) expect(condition.sql).toBe(sql);
  expect(condition.values).toEqual(values);
});

test.each([
  ["1; drop table entries", 'has ";" at character 2'],
  ["width > 1 -- rest", 'has "--" at character 11'],
  ["width /* c */ > 1", "names the field c"],
  ["1) or (1", "closes a parenthesis that is not open"],
  ["(width > 1", "has an open parenthesis"],
  ["'a", 'has "\'a" at character 1'],
  ["width > ?", 'has "?" at character 9'],
  ["width > :x", 'has ":x" at character 9'],
  ["`width` > 1", 'has "`width`" at character 1'],
  ["[width] > 1", 'has "[width]" at character 1'],
  ["x'00' = 1", "names the field x"],
  ["0x10 = 1", 'has "0x10" at character 1'],
  ["1\0 = 1", "at character 2"],
  ["e.width > 1", 'has ".width" at character 2'],
  ["exists (select 1 from entries)", "calls exists"],
  ["width in (select width from state)", "names the field from"],
  ["load_extension('x')", "calls load_extension; the functions are abs"],
  ["randomblob(1000000000)", "calls randomblob"],
  ["printf('%1000000000d', 1)", "calls printf"],
  ["lower (class) = 'a' and hex(class)", "calls hex"],
  ["class match 'x'", "names the field match"],
  ["attach", "names the field attach"],
  [
    "widt > 1",
    "names the field widt (did you mean width?); the fields are id, source, caption, width, class",
  ],
  ['class = "wren"', "text is written in single quotes: 'wren'"],
  ['"q""q" = 1', "whose name cannot be searched"],
  ["1".repeat(10_001), "has 10001 characters, at most 10000 are read"],
])("%s is refused", (where, problem) => {
  expect(() => readCondition(where, fields)).toThrow(
    expect.objectContaining({
      code: "ERR_EVACLIP_INVALID_ARGUMENT",
      message: expect.stringContaining(problem),
    }),
  );
});

describe("on entries that are stored elsewhere", () => {
  const table = new EntryTable(() =>
    Array.from({ length: 2500 }, (_, id) => ({ id, source: `${id}.jpg`, metadata: { width: id } })),
  );
  afterAll(() => table.dispose());

  test("the ids of those that it is true of", async () => {
    await expect(table.matching("width >= 2498 or id = 0")).resolves.toEqual([0, 2498, 2499]);
    await expect(table.matching("caption is null")).resolves.toHaveLength(2500);
    await expect(table.matching("width < 0")).resolves.toEqual([]);
  });

  test.each([
    ["width >", "syntax error"],
    ["width width", "syntax error"],
    ["lower() = 'a'", "wrong number of arguments to function lower()"],
    ["max(width) > 1", "misuse of aggregate"],
    ["(width, id) > 1", "row value misused"],
    [`${"(".repeat(2000)}1${")".repeat(2000)}`, ""],
  ])("what SQLite says of %s", async (where, problem) => {
    const error = await table.matching(where).catch((error) => error);
    expect(error).toMatchObject({ code: "ERR_EVACLIP_INVALID_ARGUMENT" });
    expect(error.message).toContain("cannot be evaluated: ");
    expect(error.message).toContain(problem);
  });

  test("an aborted call leaves no half-filled table", async () => {
    const aborting = new AbortController();
    const entries = function* () {
      for (let id = 0; id < 2500; id++) {
        if (id === 2000) aborting.abort(new Error("enough"));
        yield { id, source: "a", metadata: {} };
      }
    };
    await using fresh = new EntryTable(entries);
    await expect(fresh.matching("true", aborting.signal)).rejects.toThrow("enough");
    await expect(fresh.matching("true")).resolves.toHaveLength(2500);
  });
});
