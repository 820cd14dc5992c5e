import { type FileHandle, open } from "node:fs/promises";
import { EvaClipError } from "../../errors";
import { elementCount } from "../../shape";
import { type Fail, failAbout } from "../checkpoint_error";
import { FORMAT_BYTES, foreignFormat } from "../foreign_format";
import { MappedFile } from "../mapped_file";
import { statModelFile } from "../model_path";
import type { WeightsChoice } from "../moving_average";
import { unpickle } from "./pickle";
import { type PickledTensor, pytorchDialect, STORED_DTYPES } from "./pytorch_globals";
import { findStateDict } from "./pytorch_state_dict";
import { elementBytes, type StoredTensor, type TensorSource } from "../tensor_source";
import { checkEntry, readEntry, readRange, readZipArchive, type ZipEntry } from "./zip_archive";

/** A checkpoint's pickle has a few hundred bytes per tensor; values are separate entries. */
const MAX_PICKLE_BYTES = 256 * 1024 * 1024;
/** A view may repeat its storage (torch.expand) up to this many elements, 1 GiB in f32. */
const MAX_REPEATED_ELEMENTS = 2 ** 28;

/** A torch.save archive: the pickle `<folder>/data.pkl`, and a storage per `<folder>/data/<key>`. */
interface PytorchArchive {
  readonly folder: string;
  readonly entries: ReadonlyMap<string, ZipEntry>;
  readonly pickle: Uint8Array;
}

/**
 * Opens a PyTorch checkpoint (torch.save's ZIP format, or a TorchScript archive, of which only the weights are read)
 * and finds its state dict; see `findStateDict` for where, and `pytorchDialect` for what a file may contain. Only the
 * pickle is read here: tensors are ranges of the mapped file, checked to be inside their storage.
 *
 * @throws EvaClipError ERR_EVACLIP_CHECKPOINT_UNSAFE when the file asks for code to be run (nothing is);
 *   ERR_EVACLIP_CHECKPOINT_UNSUPPORTED for other formats and kinds of tensor, with advice;
 *   ERR_EVACLIP_CHECKPOINT_CORRUPT for a damaged file; ERR_EVACLIP_IO when it cannot be read
 */
export async function openPytorch(path: string, choice: WeightsChoice = {}): Promise<TensorSource> {
  const fail = failAbout(path);
  const archive = await readArchive(path, fail);
  const root = unpickle(archive.pickle, pytorchDialect(isScript(archive), fail), fail);
  const { tensors, metadata, isAverage } = findStateDict(root, fail, path, choice);
  const file = await MappedFile.open(path);
  try {
    const check = entryChecks(file, fail);
    const stored = new Map<string, StoredTensor>();
    for (const [name, tensor] of tensors) {
      const { entry, ...place } = locate(name, tensor, archive, file, fail);
      stored.set(name, { ...place, file, check: () => check(entry) });
    }
    const close = async () => file.close();
    return {
      path,
      format: "pytorch",
      metadata,
      isAverage,
      tensors: stored,
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Checks each entry once, however many tensors share it. */
function entryChecks(file: MappedFile, fail: Fail): (entry: ZipEntry) => Promise<void> {
  const checks = new Map<ZipEntry, Promise<void>>();
  return (entry) => {
    const check = checks.get(entry) ?? checkEntry(file, entry, fail);
    checks.set(entry, check);
    return check;
  };
}

async function readArchive(path: string, fail: Fail): Promise<PytorchArchive> {
  await statModelFile(path);
  const file = await open(path, "r").catch((error: Error) => {
    throw new EvaClipError("ERR_EVACLIP_IO", `cannot open ${path}: ${error.message}`, { path });
  });
  try {
    const stat = await file.stat();
    const head = await readRange(file, 0, Math.min(FORMAT_BYTES, stat.size), fail);
    const foreign = foreignFormat(head, stat.size);
    if (foreign !== undefined) throw fail(foreign.kind, foreign.problem);
    const entries = await readZipArchive(file, stat.size, fail);
    const folder = findFolder(entries, fail);
    const pickle = storedEntry(entries, `${folder}/data.pkl`, fail);
    if (entries.has(`${folder}/byteorder`)) {
      await checkByteOrder(file, storedEntry(entries, `${folder}/byteorder`, fail), fail);
    }
    if (pickle.bytes > MAX_PICKLE_BYTES) {
      throw fail(
        "UNSUPPORTED",
        `has a data.pkl of ${pickle.bytes} bytes, expected at most ${MAX_PICKLE_BYTES}`,
      );
    }
    return { folder, entries, pickle: await readEntry(file, pickle, fail) };
  } finally {
    await file.close();
  }
}

/** The folder of all entries of a torch.save archive, usually named after the file. */
function findFolder(entries: ReadonlyMap<string, ZipEntry>, fail: Fail): string {
  const folders = [...entries.keys()].flatMap((name) => /^([^/]+)\/data\.pkl$/.exec(name)?.[1] ?? []);
  const [folder] = folders;
  if (folder !== undefined && folders.length === 1) return folder;
  const names = [...entries.keys()].slice(0, 4).map((name) => JSON.stringify(name));
  throw folders.length > 1
    ? fail("CORRUPT", `has ${folders.length} entries named data.pkl, expected one`)
    : fail(
        "UNSUPPORTED",
        `is a ZIP archive, but not a PyTorch checkpoint: it has no data.pkl, found ${names.join(", ")}`,
      );
}

function isScript({ folder, entries }: PytorchArchive): boolean {
  return entries.has(`${folder}/constants.pkl`);
}

async function checkByteOrder(file: FileHandle, entry: ZipEntry, fail: Fail): Promise<void> {
  const bytes = await readRange(file, entry.begin, Math.min(entry.bytes, FORMAT_BYTES), fail);
  const order = bytes.toString("latin1");
  if (order === "big")
    throw fail("UNSUPPORTED", "was saved on a big-endian machine: save it again on a little-endian one");
  if (order !== "little")
    throw fail("CORRUPT", `has the byte order ${JSON.stringify(order)}, expected "little"`);
}

function storedEntry(entries: ReadonlyMap<string, ZipEntry>, name: string, fail: Fail): ZipEntry {
  const entry = entries.get(name);
  if (entry === undefined) throw fail("CORRUPT", `has no entry "${name}", which its weights refer to`);
  if (!entry.isStored) {
    throw fail(
      "UNSUPPORTED",
      `is a compressed archive ("${name}"); weights are read in place: save it again with torch.save, or ` +
        "archive it again without compression, `unzip IN.pt -d folder && cd folder && zip -0 -D -r ../OUT.pt .`",
    );
  }
  return entry;
}

/** Locates a tensor in the file. Its view must be inside its storage, and the storage inside its entry of the archive. */
function locate(
  name: string,
  tensor: PickledTensor,
  { folder, entries }: PytorchArchive,
  file: MappedFile,
  fail: Fail,
): Omit<StoredTensor, "file"> & { entry: ZipEntry } {
  const failTensor = (kind: "CORRUPT" | "UNSUPPORTED", problem: string) =>
    fail(kind, `has the tensor "${name}" ${problem}`, { tensor: name });
  const { storage, begin, shape, strides, typeName } = tensor;
  const dtype = STORED_DTYPES.get(typeName);
  if (dtype === undefined || tensor.isLazy) {
    const type = dtype === undefined ? typeName : "a negated or conjugated view";
    const known = [...new Set(STORED_DTYPES.values())].join(", ");
    throw failTensor("UNSUPPORTED", `of ${type}, expected one of ${known}`);
  }
  const entry = storedEntry(entries, `${folder}/data/${storage.key}`, fail);
  const isUntyped = storage.typeName.endsWith("UntypedStorage");
  const storageBytes = storage.elements * (isUntyped ? 1 : elementBytes(dtype));
  if (storageBytes > entry.bytes || entry.begin + entry.bytes > file.size) {
    throw failTensor(
      "CORRUPT",
      `in a storage of ${storageBytes} bytes, expected ${entry.bytes} as in "${entry.name}"`,
    );
  }
  if (shape.includes(0)) return { dtype, shape, strides, offset: entry.begin, entry };
  const elements = elementCount(shape);
  const last = shape.reduce((place, size, i) => place + (size - 1) * strides[i]!, begin);
  const available = Math.floor(storageBytes / elementBytes(dtype));
  if (last >= available) {
    throw failTensor(
      "CORRUPT",
      `[${shape}] of strides [${strides}] from element ${begin}, outside its storage of ${available} elements`,
    );
  }
  if (elements > Math.max(available, MAX_REPEATED_ELEMENTS)) {
    throw failTensor(
      "UNSUPPORTED",
      `[${shape}] that repeats a storage of ${available} elements to ${elements}`,
    );
  }
  return { dtype, shape, strides, offset: entry.begin + begin * elementBytes(dtype), entry };
}
