/** Bytes of a node of the tree in versions 1, and 2 and later, which add a modification time. */
const [NODE_BYTES, DATED_NODE_BYTES] = [14, 22];
const IS_FOLDER = 2;

/** The files of a Qt resource file (.rcc), by path; compressed ones as they are stored. */
export function filesOfResource(bytes: Buffer): Map<string, Buffer> {
  const [version, tree, data, names] = [4, 8, 12, 16].map((at) => bytes.readUInt32BE(at)) as [
    number,
    number,
    number,
    number,
  ];
  const nodeBytes = version < 2 ? NODE_BYTES : DATED_NODE_BYTES;
  const files = new Map<string, Buffer>();
  const nameAt = (offset: number) => {
    const at = names + offset;
    const text = Buffer.from(bytes.subarray(at + 6, at + 6 + 2 * bytes.readUInt16BE(at)));
    return text.swap16().toString("utf16le");
  };
  const visit = (index: number, folder: string): void => {
    const at = tree + index * nodeBytes;
    const path = index === 0 ? folder : `${folder}/${nameAt(bytes.readUInt32BE(at))}`;
    if ((bytes.readUInt16BE(at + 4) & IS_FOLDER) === 0) {
      const start = data + bytes.readUInt32BE(at + 10);
      files.set(path, bytes.subarray(start + 4, start + 4 + bytes.readUInt32BE(start)));
      return;
    }
    const [count, first] = [bytes.readUInt32BE(at + 6), bytes.readUInt32BE(at + 10)];
    for (let child = 0; child < count; child++) visit(first + child, path);
  };
  visit(0, "");
  return files;
}
