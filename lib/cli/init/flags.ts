export interface InitFlags {
  json: boolean;
}
