/** A safetensors file of one tensor of `count` f32 that are not all alike. */
export function tensorFile(count: number, name = "weight"): Buffer {
  const header = JSON.stringify({ [name]: { dtype: "F32", shape: [count], data_offsets: [0, 4 * count] } });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const values = Float32Array.from({ length: count }, (_, i) => Math.sin(i));
  return Buffer.concat([length, Buffer.from(header), Buffer.from(values.buffer)]);
}
