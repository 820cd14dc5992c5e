import { type PackedText, packText } from "eva-clip/data";
import { HostTensor, ops, type Tensor } from "eva-clip/graph";
import type { TrainingBatch } from "eva-clip/train";
import type { Augmentation } from "./augment";
import { DRAWING_SIZE } from "./data_set";
import { IMAGE_SIZE } from "./recipe";
import type { Sampler } from "./sampler";
import type { Vocabulary } from "./vocabulary";

/** Packed captions are padded to a multiple of this, so that a run compiles only a few programs. */
const TEXT_BUCKET = 64;

/** The drawings of a batch and their augmentation, as the named tensors of `viewImages`. */
export function imageTensors(drawings: Uint8Array, views: Augmentation): Record<string, HostTensor> {
  const batch = views.background.length / 3;
  return {
    drawings: new HostTensor("u8", [batch, DRAWING_SIZE, DRAWING_SIZE, 4], drawings),
    transform: new HostTensor("f32", [batch, 2, 3], views.transform),
    background: new HostTensor("f32", [batch, 3], views.background),
    color: new HostTensor("f32", [batch, 3, 4], views.color),
  };
}

/** Records the model's input images, u8 [B, 48, 48, 3]: augmentation runs on the device, inside the step. */
export function viewImages(tensors: Readonly<Record<string, Tensor>>): Tensor {
  const { drawings, transform, background, color } = tensors;
  const views = { transform: transform!, background: background!, color: color! };
  return ops.affineSample(drawings!, { ...views, size: IMAGE_SIZE });
}

export function packTexts(texts: readonly string[], vocabulary: Vocabulary): PackedText {
  return packText(
    texts.map((text) => vocabulary.encode(text)),
    TEXT_BUCKET,
  );
}

/** The batch of a step, counted from 0. */
export function trainingBatch(sampler: Sampler, vocabulary: Vocabulary, step: number): TrainingBatch {
  const { captions, drawings, augmentation } = sampler.batch(step);
  return {
    size: captions.length,
    tensors: imageTensors(drawings, augmentation),
    ...packTexts(captions, vocabulary),
  };
}
