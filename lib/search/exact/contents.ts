import { setImmediate } from "node:timers/promises";
import type { NativeStoredDtype } from "../../native";
import { MappedFile } from "../../io/mapped_file";
import { expectStatement } from "../index_mismatch";
import type { IndexStatement, Version } from "../index_writer";
import { openIndexFile, parseLine, type Place, readLine } from "./index_file";
import { readJournal } from "./journal";

/** Entries read between two turns of the event loop. */
const ENTRIES_AT_ONCE = 256;

/** Entries of several index files and journals, each by its source; of the same source and version, the first found. */
export class Contents implements Disposable {
  readonly #places = new Map<string, Place[]>();
  readonly #files: (() => void)[] = [];

  /** Adds the entries of an index. @returns its listing. @throws EvaClipError as `openIndex`, `ERR_EVACLIP_INDEX_MISMATCH` */
  async addIndex(path: string, statement: IndexStatement): Promise<string | undefined> {
    const index = await openIndexFile(path);
    this.#files.push(() => index.vectors.file.close());
    expectStatement(path, index.statement, statement);
    const { vectors } = index;
    const [size, columns] = vectors.shape as [number, number];
    const rowBytes = columns * (vectors.dtype === "F32" ? 4 : vectors.dtype === "F64" ? 8 : 2);
    for (let id = 0; id < size; id++) {
      if (id % ENTRIES_AT_ONCE === 0) await setImmediate();
      const { at, bytes, line } = readLine(index, id);
      const { source, version } = parseLine(path, line);
      this.#add(source, {
        file: vectors.file,
        version,
        lineAt: at,
        lineBytes: bytes,
        vectorAt: vectors.offset + id * rowBytes,
        dtype: vectors.dtype as NativeStoredDtype,
      });
    }
    return index.listing;
  }

  /** Adds the whole records of a journal. @throws EvaClipError `ERR_EVACLIP_INDEX_MISMATCH` */
  async addJournal(path: string, expected: IndexStatement): Promise<void> {
    const file = await MappedFile.open(path);
    this.#files.push(() => file.close());
    const { statement, places } = await readJournal(file);
    if (statement !== undefined) expectStatement(path, statement, expected);
    for (const [source, place] of places) this.#add(source, { ...place, file });
  }

  sources(): Iterable<string> {
    return this.#places.keys();
  }

  find({ source, version }: Version): Place | undefined {
    return this.#places.get(source)?.find((place) => place.version === version);
  }

  [Symbol.dispose](): void {
    for (const close of this.#files.splice(0)) close();
  }

  #add(source: string, place: Place): void {
    const others = this.#places.get(source);
    if (others === undefined) this.#places.set(source, [place]);
    else others.push(place);
  }
}
