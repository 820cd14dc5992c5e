"""Pillow's bicubic resize of an image in memory. Reads "width height targetWidth targetHeight" per line."""
import json, sys, time
import numpy as np, PIL
from PIL import Image

images = {}
print(json.dumps({"ready": True, "torch": f"Pillow {PIL.__version__}"}), flush=True)
for line in sys.stdin:
    width, height, *target = map(int, line.split())
    if (width, height) not in images:
        images[width, height] = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    start = time.perf_counter()
    images[width, height].resize(target, Image.Resampling.BICUBIC)
    print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
