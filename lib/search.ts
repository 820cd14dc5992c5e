// eva-clip/search: collections of embeddings. Index images, find the nearest ones.
export { openIndex } from "./search/open_index";
export type { OpenIndexOptions } from "./search/search_arguments";
export type { Entry, Match, MetadataValue, NearestOptions, VectorStore } from "./search/vector_store";
export { type BuildIndexResult, buildIndex } from "./search/indexing/build_index";
export type { BuildIndexOptions } from "./search/indexing/build_options";
export type { BuildPart } from "./search/indexing/parts";
export type { VectorStorage } from "./search/exact/exact_writer";
export { checkIndexModel } from "./search/model_check";
export { type ExportOptions, exportIndex } from "./search/export/export_index";
export type { ExportBatch, ExportTarget } from "./search/export/export_target";
export type {
  LanceOptions,
  PostgresOptions,
  PruneOption,
  QdrantOptions,
} from "./search/export/export_arguments";
export { lanceTable } from "./search/export/lance_table";
export { parquetFile } from "./search/export/parquet_file";
export { postgresTable } from "./search/export/postgres_table";
export { qdrantCollection } from "./search/export/qdrant_collection";
