// eva-clip/search: collections of embeddings. Index images, find the nearest ones.
export { openIndex } from "./search/open_index";
export type { OpenIndexOptions } from "./search/search_arguments";
export type { Entry, Match, MetadataValue, NearestOptions, VectorStore } from "./search/vector_store";
export { type BuildIndexResult, buildIndex } from "./search/indexing/build_index";
export type { BuildIndexOptions } from "./search/indexing/build_options";
export type { BuildPart } from "./search/indexing/parts";
export type { VectorStorage } from "./search/exact/exact_writer";
export { checkIndexModel } from "./search/model_check";
