// eva-clip/search: collections of embeddings. Index images, find the nearest ones.
export { openIndex } from "./search/open_index";
export type { OpenIndexOptions } from "./search/search_arguments";
export type { Entry, Match, MetadataValue, NearestOptions, VectorStore } from "./search/vector_store";
