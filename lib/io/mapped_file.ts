import { type NativeMappedFile, native } from "../native";

/** A file whose bytes are read in place, through the memory map. It must not be changed while it is open. */
export class MappedFile {
  private constructor(
    readonly path: string,
    /** The native file; for this package's own modules. */
    readonly native: NativeMappedFile,
  ) {}

  /** @throws EvaClipError `ERR_EVACLIP_IO` when the file cannot be opened, or is not an ordinary file. */
  static async open(path: string): Promise<MappedFile> {
    return new MappedFile(path, new native.MappedFile(path));
  }

  /** In bytes, when it was opened. */
  get size(): number {
    return this.native.size;
  }

  /**
   * A copy of the bytes from `begin` to `end`.
   * @throws EvaClipError `ERR_EVACLIP_INVALID_ARGUMENT` outside the file; `ERR_EVACLIP_IO` when it has become shorter
   */
  bytes(begin: number, end: number): Uint8Array {
    return this.native.bytes(begin, end);
  }

  /** Loads that were started go on; nothing new can be read. Idempotent. */
  close(): void {
    this.native.close();
  }
}
