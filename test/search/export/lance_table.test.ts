import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportIndex } from "../../../lib/search/export/export_index";
import { lanceTable } from "../../../lib/search/export/lance_table";
import { listedIndex, someItems } from "../../support/listed_index";

interface LanceRow {
  readonly id: bigint;
  readonly source: string;
  readonly caption: string | null;
  readonly metadata: string;
  readonly vector: Iterable<number>;
}

/** LanceDB takes 170 MB, so it is no dependency: `NODE_PATH` may name a node_modules that has it. */
function lanceOrUndefined() {
  try {
    return require("@lancedb/lancedb");
  } catch {
    return undefined;
  }
}

const lance = lanceOrUndefined();
const folder = mkdtempSync(join(tmpdir(), "eva-clip-lance-"));
afterAll(() => rmSync(folder, { recursive: true }));

const items = someItems(10);

(lance === undefined ? test : test.skip)(
  "without LanceDB the error names the command that installs it",
  async () => {
    const target = lanceTable({ uri: folder, table: "birds" });
    await expect(exportIndex(listedIndex(items), target)).rejects.toMatchObject({
      code: "ERR_EVACLIP_PACKAGE_MISSING",
      message: expect.stringContaining("npm install @lancedb/lancedb apache-arrow@18.1.0"),
    });
  },
);

(lance === undefined ? describe.skip : describe)("with LanceDB", () => {
  const open = async () => (await lance.connect(folder)).openTable("birds");
  const rows = async () => {
    const found = await (await open()).query().toArray();
    return found
      .map(({ id, source, caption, metadata, vector }: LanceRow) => ({
        ...{ id: Number(id), source, caption, metadata: JSON.parse(metadata) },
        vector: Float32Array.from(vector),
      }))
      .sort((a: { id: number }, b: { id: number }) => a.id - b.id);
  };

  test("every bit arrives, a second export changes rows by id, and the nearest are those of the index", async () => {
    const target = lanceTable({ uri: folder, table: "birds" });
    await expect(exportIndex(listedIndex(items), target, { batchSize: 3 })).resolves.toBe(10);
    const expected = items.map(({ entry, vector }) => ({ caption: null, ...entry, vector }));
    await expect(rows()).resolves.toEqual(expected);
    const changed = someItems(5, 32, 9);
    await exportIndex(listedIndex(changed), target);
    await expect(rows()).resolves.toHaveLength(10);
    await exportIndex(listedIndex(changed), lanceTable({ uri: folder, table: "birds", prune: true }), {
      batchSize: 2,
    });
    expect((await rows()).map(({ vector }: { vector: unknown }) => vector)).toEqual(
      changed.map(({ vector }) => vector),
    );
    const [found] = await (await open())
      .search([...changed[3]!.vector])
      .limit(1)
      .toArray();
    expect(found.source).toBe("birds/3.jpg");
  });

  test("tables of another form, and folders that are none, are refused", async () => {
    const shorter = listedIndex(someItems(2, 8), 8);
    await expect(exportIndex(shorter, lanceTable({ uri: folder, table: "birds" }))).rejects.toThrow(
      "the index has vectors of 8 numbers",
    );
    await (await lance.connect(folder)).createTable("others", [{ id: 1, text: "a" }]);
    await expect(exportIndex(shorter, lanceTable({ uri: folder, table: "others" }))).rejects.toThrow(
      "it has no column source, caption, metadata, vector",
    );
    writeFileSync(join(folder, "file"), "");
    await expect(
      exportIndex(shorter, lanceTable({ uri: join(folder, "file"), table: "a" })),
    ).rejects.toMatchObject({
      code: "ERR_EVACLIP_EXPORT",
    });
  });
});
