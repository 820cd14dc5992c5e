// eva-clip/serve: models inside a service. Batch concurrent calls, answer HTTP requests.
export {};
