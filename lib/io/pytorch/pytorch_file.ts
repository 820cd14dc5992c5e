import { type FileHandle, open } from "node:fs/promises";
import { EvaClipError } from "../../errors";
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

/** A checkpoint's pickle describes tensors, at a few hundred bytes each; their values lie outside it. */
const GREATEST_PICKLE_BYTES = 256 * 1024 * 1024;
/** A view may repeat its storage (torch.expand) up to this many elements, 1 GiB in f32. */
const MOST_REPEATED_ELEMENTS = 2 ** 28;

/** A torch.save archive: `<folder>/data.pkl` describes what was saved, `<folder>/data/<key>` are the storages. */
interface PytorchArchive {
  readonly folder: string;
  readonly entries: ReadonlyMap<string, ZipEntry>;
  readonly pickle: Uint8Array;
}

/**
 * Opens a PyTorch checkpoint (torch.save's ZIP format, or a TorchScript archive, of which only the weights are read)
 * and finds its state dict; see `findStateDict` for where, and `pytorchDialect` for what a file may contain. Only the
 * description is read here: tensors are ranges of the mapped file, each checked to lie inside its storage.
 *
 * @throws EvaClipError ERR_EVACLIP_CHECKPOINT_UNSAFE when the file asks for code to be run (nothing is);
 *   ERR_EVACLIP_CHECKPOINT_UNSUPPORTED for other formats and kinds of tensor, saying what to do;
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

/** Checks each entry once, however many tensors lie in it. */
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
    if (pickle.bytes > GREATEST_PICKLE_BYTES) {
      throw fail(
        "UNSUPPORTED",
        `has a data.pkl of ${pickle.bytes} bytes, expected ${GREATEST_PICKLE_BYTES} at most`,
      );
    }
    return { folder, entries, pickle: await readEntry(file, pickle, fail) };
  } finally {
    await file.close();
  }
}

/** torch.save puts everything into one folder, which is often named after the file. */
function findFolder(entries: ReadonlyMap<string, ZipEntry>, fail: Fail): string {
  const folders = [...entries.keys()].flatMap((name) => /^([^/]+)\/data\.pkl$/.exec(name)?.[1] ?? []);
  const [folder] = folders;
  if (folder !== undefined && folders.length === 1) return folder;
  const names = [...entries.keys()].slice(0, 4).map((name) => JSON.stringify(name));
  throw folders.length > 1
    ? fail("CORRUPT", `has ${folders.length} entries named data.pkl, expected one`)
    : fail(
        "UNSUPPORTED",
        `is a ZIP archive, but not of torch.save: it has no data.pkl, found ${names.join(", ")}`,
      );
}

function isScript({ folder, entries }: PytorchArchive): boolean {
  return entries.has(`${folder}/constants.pkl`);
}

async function checkByteOrder(file: FileHandle, entry: ZipEntry, fail: Fail): Promise<void> {
  const bytes = await readRange(file, entry.begin, Math.min(entry.bytes, FORMAT_BYTES), fail);
  const order = bytes.toString("latin1");
  if (order === "big")
    throw fail("UNSUPPORTED", "was saved on a big-endian machine: save it again on another one");
  if (order !== "little")
    throw fail("CORRUPT", `has the byte order ${JSON.stringify(order)}, expected "little"`);
}

function storedEntry(entries: ReadonlyMap<string, ZipEntry>, name: string, fail: Fail): ZipEntry {
  const entry = entries.get(name);
  if (entry === undefined) throw fail("CORRUPT", `has no entry "${name}", which its weights need`);
  if (!entry.isStored) {
    throw fail(
      "UNSUPPORTED",
      `is a compressed archive ("${name}"), and weights are read where they lie: save it again with torch.save, or ` +
        "unpack it and store it without compression, `unzip IN.pt -d folder && cd folder && zip -0 -D -r ../OUT.pt .`",
    );
  }
  return entry;
}

/** Finds a tensor's bytes: its view must lie inside its storage, and the storage inside its entry of the archive. */
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
  const elements = shape.reduce((product, size) => product * size, 1);
  const last = shape.reduce((place, size, i) => place + (size - 1) * strides[i]!, begin);
  const available = Math.floor(storageBytes / elementBytes(dtype));
  if (last >= available) {
    throw failTensor(
      "CORRUPT",
      `[${shape}] of strides [${strides}] from element ${begin}, outside its storage of ${available} elements`,
    );
  }
  if (elements > Math.max(available, MOST_REPEATED_ELEMENTS)) {
    throw failTensor(
      "UNSUPPORTED",
      `[${shape}] that repeats a storage of ${available} elements ${elements} times`,
    );
  }
  return { dtype, shape, strides, offset: entry.begin + begin * elementBytes(dtype), entry };
}
