// eva-clip/search: collections of embeddings. Index images, find the nearest ones.
export {};
