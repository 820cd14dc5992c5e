export interface BuildFlags {
  cuda: boolean;
  cudaArchitectures?: string;
  fetchOnednn: boolean;
  json: boolean;
}
