export default { test: { include: ["embed.vitest.mjs"], watch: false } };
