import type { FileHandle } from "node:fs/promises";
import { EvaClipError } from "../errors";
import { elementCount } from "../shape";
import { corrupt } from "./checkpoint_error";
import { convertElements } from "./convert_elements";
import { MappedFile } from "./mapped_file";
import { replaceFile } from "./replace_file";
import { layoutTensors, parseHeader, type TensorInfo } from "./safetensors_header";
import {
  elementBytes,
  type FloatDtype,
  isFloatDtype,
  rowMajorStrides,
  type StoredTensor,
  TENSOR_ARRAYS,
  type TensorSource,
} from "./tensor_source";

const LENGTH_BYTES = 8;
/** The format's own limit. */
const MAX_HEADER_BYTES = 100_000_000;
const WRITE_CHUNK_BYTES = 16 * 1024 * 1024;
/** Elements converted between two turns of the event loop. */
const CONVERTED_CHUNK = 1 << 18;

/** Values of a tensor; bf16 and f16 are 16-bit patterns. */
export type TensorArray = InstanceType<(typeof TENSOR_ARRAYS)[keyof typeof TENSOR_ARRAYS]>;

/** A tensor to write, stored as `dtype`. */
export interface TensorToWrite extends TensorInfo {
  readonly name: string;
  /**
   * A function is called when the tensor is written, so that not all are in memory at once; it may give the elements part by
   * part.
   */
  readonly data:
    | ArrayBufferView
    | (() => ArrayBufferView | Promise<ArrayBufferView> | AsyncIterable<ArrayBufferView>);
  /** The type of `data`, if not `dtype`; values are rounded to nearest, ties to even. */
  readonly from?: FloatDtype;
}

/** An open safetensors file. */
export class SafetensorsFile implements TensorSource {
  readonly format = "safetensors";

  constructor(
    readonly metadata: Readonly<Record<string, string>>,
    readonly tensors: ReadonlyMap<string, StoredTensor>,
    private readonly file: MappedFile,
  ) {}

  get path(): string {
    return this.file.path;
  }

  /** A copy of one tensor's stored values. @throws EvaClipError `ERR_EVACLIP_CHECKPOINT_CORRUPT` if there is no such tensor */
  async read(name: string): Promise<TensorArray> {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) throw corrupt(this.path, `has no tensor "${name}"`, { tensor: name });
    const elements = TENSOR_ARRAYS[tensor.dtype];
    const size = elementCount(tensor.shape) * elementBytes(tensor.dtype);
    return new elements(this.file.bytes(tensor.offset, tensor.offset + size).buffer as ArrayBuffer);
  }

  async close(): Promise<void> {
    this.file.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Opens a safetensors file and checks its whole header: sizes, types, ranges, overlaps and the length of the file.
 *
 * @throws EvaClipError ERR_EVACLIP_CHECKPOINT_CORRUPT naming the file, the tensor, what was expected and found;
 *   ERR_EVACLIP_IO when the file cannot be opened
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await MappedFile.open(path);
  try {
    const fileBytes = file.size;
    if (fileBytes < LENGTH_BYTES) throw corrupt(path, `is ${fileBytes} bytes long, too short for a header`);
    const length = file.bytes(0, LENGTH_BYTES);
    const headerBytes = Number(new DataView(length.buffer).getBigUint64(0, true));
    if (headerBytes > Math.min(MAX_HEADER_BYTES, fileBytes - LENGTH_BYTES)) {
      throw corrupt(
        path,
        `is a broken safetensors file: its header of ${headerBytes} bytes is longer than the file of ${fileBytes}`,
      );
    }
    const dataStart = LENGTH_BYTES + headerBytes;
    const header = parseHeader(
      file.bytes(LENGTH_BYTES, dataStart),
      fileBytes - dataStart,
      (problem, details) => corrupt(path, problem, details),
    );
    const tensors = [...header.tensors].map(([name, { dtype, shape, begin }]): [string, StoredTensor] => [
      name,
      { dtype, shape, strides: rowMajorStrides(shape), file, offset: dataStart + begin },
    ]);
    return new SafetensorsFile(header.metadata, new Map(tensors), file);
  } catch (error) {
    file.close();
    throw error;
  }
}

/**
 * Writes a safetensors file, tensor by tensor, as `replaceFile` does: a reader sees the old file or the whole new one.
 *
 * @throws EvaClipError ERR_EVACLIP_DISK_FULL or ERR_EVACLIP_IO; ERR_EVACLIP_INVALID_ARGUMENT for a duplicate name or
 *   data that does not fill the shape; ERR_EVACLIP_NOT_FINITE for a finite value that overflows the stored type
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { header, order } = layoutTensors([...tensors], metadata);
  await replaceFile(path, async (file) => {
    const length = new Uint8Array(LENGTH_BYTES);
    new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
    await writeFully(file, length);
    await writeFully(file, header);
    for (const tensor of order) await writeTensor(file, tensor);
  });
}

/** The parts of a tensor's data, in order. */
async function* partsOf({ data }: TensorToWrite): AsyncGenerator<Uint8Array> {
  const given = typeof data === "function" ? await data() : data;
  const parts = ArrayBuffer.isView(given) ? [given] : given;
  for await (const { buffer, byteOffset, byteLength } of parts) {
    yield new Uint8Array(buffer, byteOffset, byteLength);
  }
}

async function writeTensor(file: FileHandle, tensor: TensorToWrite): Promise<void> {
  const { name, dtype, shape, from = dtype } = tensor;
  const fail = (problem: string) =>
    new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", `tensor "${name}": ${problem}`, { tensor: name });
  const expected = elementCount(shape) * TENSOR_ARRAYS[from].BYTES_PER_ELEMENT;
  const wrongSize = (found: number) =>
    fail(`expected ${expected} bytes for ${from} [${shape}], found ${found}`);
  let found = 0;
  for await (const part of partsOf(tensor)) {
    if (found + part.length > expected) throw wrongSize(found + part.length);
    await writePart(file, tensor, part, found / TENSOR_ARRAYS[from].BYTES_PER_ELEMENT);
    found += part.length;
  }
  if (found !== expected) throw wrongSize(found);
}

/** Writes elements of a tensor from index `first` on. */
async function writePart(
  file: FileHandle,
  tensor: TensorToWrite,
  part: Uint8Array,
  first: number,
): Promise<void> {
  const { name, dtype, from = dtype } = tensor;
  if (from === dtype) return writeFully(file, part);
  if (!isFloatDtype(from) || !isFloatDtype(dtype)) {
    const message = `tensor "${name}": ${from} cannot be stored as ${dtype}`;
    throw new EvaClipError("ERR_EVACLIP_INVALID_ARGUMENT", message, { tensor: name });
  }
  const bytes = CONVERTED_CHUNK * TENSOR_ARRAYS[from].BYTES_PER_ELEMENT;
  for (let at = 0; at < part.length; at += bytes) {
    const index = first + at / TENSOR_ARRAYS[from].BYTES_PER_ELEMENT;
    const { buffer } = convertElements(`tensor "${name}"`, part.subarray(at, at + bytes), from, dtype, index);
    await writeFully(file, new Uint8Array(buffer));
  }
}

async function writeFully(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, Math.min(WRITE_CHUNK_BYTES, bytes.length - done));
    done += bytesWritten;
  }
}
