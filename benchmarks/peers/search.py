"""Nearest rows by PyTorch: the vectors of a safetensors file in memory, a product with the queries, topk. Reads the name of a form per line."""
import argparse, json, struct, sys, time
import numpy as np, torch

ap = argparse.ArgumentParser(description=__doc__)
ap.add_argument("--file", required=True)
ap.add_argument("--threads", type=int, required=True)
ap.add_argument("--count", type=int, default=10)
a = ap.parse_args()
torch.set_num_threads(a.threads)

with open(a.file, "rb") as f:
    n = struct.unpack("<Q", f.read(8))[0]
    t = json.loads(f.read(n))["vectors"]
dtype = {"F32": np.float32, "F16": np.float16, "BF16": np.int16}[t["dtype"]]
rows = torch.from_numpy(np.fromfile(a.file, dtype, int(np.prod(t["shape"])), offset=8 + n + t["data_offsets"][0]).reshape(t["shape"]))
if t["dtype"] == "BF16": rows = rows.view(torch.bfloat16)
g = torch.Generator().manual_seed(1)
queries = torch.nn.functional.normalize(torch.randn(64, rows.shape[1], generator=g), dim=1).to(rows.dtype)


@torch.inference_mode()
def search(count):
    # (rows × queries)ᵀ keeps the large operand in its own order; one query is a matrix-vector product.
    scores = (rows @ queries[0])[None] if count == 1 else (rows @ queries[:count].T).T
    return scores.float().topk(a.count, dim=1)


for count in (1, 8, 64): search(count)
print(json.dumps({"ready": True, "torch": torch.__version__}), flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    search(int(line))
    print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
