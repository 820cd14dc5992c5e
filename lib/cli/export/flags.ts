export const KINDS = ["parquet", "qdrant", "pgvector", "lancedb"] as const;

export interface ExportFlags {
  to: (typeof KINDS)[number];
  out?: string;
  url?: string;
  name?: string;
  apiKey?: string;
  hnsw?: boolean;
  prune?: boolean;
  batchSize?: number;
  json: boolean;
}
