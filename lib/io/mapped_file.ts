import { EvaClipError } from "../errors";
import { statModelFile } from "./model_path";
import { type NativeMappedFile, native } from "../native";

/** An open file. Its content must not change while it is open. */
export class MappedFile {
  private constructor(
    readonly path: string,
    /** The native file; internal to this package. */
    readonly native: NativeMappedFile,
  ) {}

  /** @throws EvaClipError `ERR_EVACLIP_IO` when the file cannot be opened or is not a regular file */
  static async open(path: string): Promise<MappedFile> {
    await statModelFile(path);
    return new MappedFile(path, new (native().MappedFile)(path));
  }

  /** In bytes, at the time of opening. */
  get size(): number {
    return this.native.size;
  }

  /**
   * Fills `into` with the bytes that start at `begin`.
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` outside the file; `ERR_EVACLIP_IO` when it has been truncated
   */
  read(begin: number, into: Uint8Array): void {
    this.native.readBytes(begin, into);
  }

  /** A copy of the bytes [begin, end). @throws EvaClipError as `read` */
  bytes(begin: number, end: number): Uint8Array {
    if (!Number.isSafeInteger(end) || begin > end || end > this.size) {
      const problem = `bytes ${begin} to ${end} are outside of ${this.path}, which has ${this.size}`;
      throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", problem, { path: this.path });
    }
    const bytes = new Uint8Array(end - begin);
    this.read(begin, bytes);
    return bytes;
  }

  /** Pending loads finish; later reads are refused. Idempotent. */
  close(): void {
    this.native.close();
  }
}
