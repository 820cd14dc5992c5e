// eva-clip/data: data sets, the loader that turns them into batches, and what it uses: tokenizer, crops, random numbers.
export type {
  Annotations,
  Dataset,
  EpochRequest,
  IndexedSample,
  IndexedSource,
  Json,
  Metadata,
  Sample,
  SampleContent,
} from "./data/dataset";
export type { Batch, BatchSample } from "./data/loader/batch";
export { createLoader, type Loader } from "./data/loader/loader";
export type { LoaderCursor, SkipCounts } from "./data/loader/loader_cursor";
export type { ImageTransform, LoaderOptions, Skip } from "./data/loader/loader_options";
export type { LeftOut, LeftOutReason } from "./data/sources/image_files";
export {
  type ClassFolderOptions,
  type FolderDataset,
  type ImageFolderOptions,
  openClassFolder,
  openImageFolder,
} from "./data/sources/image_folder";
export { indexedDataset } from "./data/sources/indexed_dataset";
export { type ManifestOptions, openManifest } from "./data/sources/manifest";
export {
  type DatasetType,
  datasetTypeOf,
  type OpenDatasetOptions,
  openDataset,
} from "./data/sources/open_dataset";
export { openWebDataset, type WebDatasetOptions } from "./data/sources/webdataset/webdataset";
export {
  type Box,
  type CropPlan,
  type CropPlanner,
  centerCrop,
  type RandomCropOptions,
  randomResizedCrop,
} from "./image/crop";
export { CounterRandom, permute } from "./random";
export { SampleError, type SkipReason } from "./sample_error";
export { type PackedText, packPadded, packText } from "./text/pack_text";
export { ClipTokenizer, type Tokenizer, tokenize } from "./text/tokenizer";
