import { EvaClipError } from "../errors";
import { statModelFile } from "./model_path";
import { type NativeMappedFile, native } from "../native";

/** An open file. It must not be changed meanwhile. */
export class MappedFile {
  private constructor(
    readonly path: string,
    /** The native file; for this package's own modules. */
    readonly native: NativeMappedFile,
  ) {}

  /** @throws EvaClipError `ERR_EVACLIP_IO` when the file cannot be opened, or is not an ordinary file. */
  static async open(path: string): Promise<MappedFile> {
    await statModelFile(path);
    return new MappedFile(path, new (native().MappedFile)(path));
  }

  /** In bytes, when it was opened. */
  get size(): number {
    return this.native.size;
  }

  /**
   * Fills `into` with the bytes from `begin` on.
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` outside the file; `ERR_EVACLIP_IO` when it has become shorter
   */
  read(begin: number, into: Uint8Array): void {
    this.native.readBytes(begin, into);
  }

  /** A copy of the bytes from `begin` to `end`. @throws EvaClipError as `read` */
  bytes(begin: number, end: number): Uint8Array {
    if (!Number.isSafeInteger(end) || begin > end || end > this.size) {
      const problem = `bytes ${begin} to ${end} are not inside the ${this.size} of ${this.path}`;
      throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", problem, { path: this.path });
    }
    const bytes = new Uint8Array(end - begin);
    this.read(begin, bytes);
    return bytes;
  }

  /** Loads that were started go on; nothing new can be read. Idempotent. */
  close(): void {
    this.native.close();
  }
}
