// Every op, as the namespace `ops` of the package.
export * from "./affine_sample";
export * from "./attention";
export * from "./clip_loss";
export * from "./elementwise";
export * from "./embedding";
export * from "./keep_tokens";
export * from "./l2_normalize";
export * from "./layer_norm";
export * from "./layout";
export * from "./linear";
export * from "./optimizer";
export * from "./patch_embed";
export * from "./random_fill";
export * from "./reduce";
export * from "./swiglu";
