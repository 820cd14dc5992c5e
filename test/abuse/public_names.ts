// Every public name, whatever its entry point.
export * from "eva-clip";
export * from "eva-clip/data";
export * from "eva-clip/graph";
export * from "eva-clip/serve";
export * from "eva-clip/search";
export * from "eva-clip/train";
export * from "eva-clip/weights";
