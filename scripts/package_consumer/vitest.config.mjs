export default { test: { include: ["embed_vitest.mjs"], watch: false } };
