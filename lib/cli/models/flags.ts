export interface ModelsFlags {
  json: boolean;
}
