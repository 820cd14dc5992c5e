/** The addon of eva-clip is loaded from node_modules, not bundled. */
export default { serverExternalPackages: ["eva-clip"] };
