import type { Device } from "../device";
import type { DeviceKind } from "../native";
import type { Parameter } from "../parameter";
import { elementCount } from "../shape";

export interface MemoryInfo {
  /** Where parameters, classifiers, arena and workspace are. */
  readonly device: DeviceKind;
  /** Bytes of the model's parameters, padding included. */
  readonly parameterBytes: number;
  /** Bytes of the label embeddings of the model's classifiers. */
  readonly classifierBytes: number;
  /** Bytes of the arena that all programs of the device share, those of other models on it included. */
  readonly arenaBytes: number;
  /** Bytes of a GPU's kernel workspace, which all programs of the device share. */
  readonly workspaceBytes: number;
  /** Images and captions that wait in the batchers and streams of the model. */
  readonly queuedSamples: number;
  /** Bytes of host memory that these keep, and that decoded images for the next batches take. */
  readonly queuedBytes: number;
}

/** What a model holds. */
export interface Holdings {
  readonly device: Device;
  readonly parameters: readonly Parameter[];
  readonly classifiers: Iterable<{ readonly weights: Parameter }>;
  readonly batches: Iterable<{ readonly queued: number; readonly bytes: number }>;
}

const ELEMENT_BYTES = { f32: 4, bf16: 2, i32: 4, u8: 1 } as const;

const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);
const bytesOf = (parameters: readonly Parameter[]) =>
  sum(parameters.map(({ dtype, storedShape }) => ELEMENT_BYTES[dtype] * elementCount(storedShape)));

export async function memoryInfo(holdings: Holdings): Promise<MemoryInfo> {
  const { device, parameters } = holdings;
  const ofDevice = await device.memory();
  const batches = [...holdings.batches];
  return {
    device: device.info.kind,
    parameterBytes: bytesOf(parameters),
    classifierBytes: bytesOf([...holdings.classifiers].map(({ weights }) => weights)),
    ...ofDevice,
    queuedSamples: sum(batches.map(({ queued }) => queued)),
    queuedBytes: sum(batches.map(({ bytes }) => bytes)),
  };
}
