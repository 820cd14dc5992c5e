"""Writes 200 PNGs of 1 to 5,000 pixels per side and what torchvision makes of them, on Pillow: the transform of evaluation (Resize and
CenterCrop), and that of training (resized_crop) with a box. `images.json` lists them."""
import json
import sys
from pathlib import Path

import libraries  # noqa: F401
import numpy as np
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize
from torchvision.transforms.functional import resized_crop

COUNT = 200
MOST_SIDE = 5000
# Pillow makes the whole resized image, of which the crop keeps a square.
MOST_RESIZED_PIXELS = 2 ** 24
SIZES = (336, 224, 64, 16, 3)
MODES = ("L", "RGB", "RGBA", "LA", "P", "1")
EXTREME = ((1, 1), (1, MOST_SIDE), (MOST_SIDE, 1), (2, MOST_SIDE), (MOST_SIDE, 3), (40, MOST_SIDE), (MOST_SIDE, MOST_SIDE), (1, 2), (3, 301), (3, 300))
FILTERS = {"bicubic": InterpolationMode.BICUBIC, "bilinear": InterpolationMode.BILINEAR}

random = np.random.default_rng(20)
folder = Path(sys.argv[1])
folder.mkdir(parents=True)


def picture(width, height, mode):
    """Waves, so that PNG compresses them, with noise and edges in a part."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [127 + 120 * np.sin(x / (3 + c) + c) * np.cos(y / (5 + c)) for c in range(3)]
    rgb = np.stack(waves, -1).astype(np.uint8)
    part = rgb[: height // 2 + 1, : min(width, 300)]
    part[:] = random.integers(0, 2, part.shape) * 255 if random.random() < 0.5 else random.integers(0, 256, part.shape)
    image = Image.fromarray(rgb)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(rgb[:, :, 0]))
    return image.convert(mode)


def resized_pixels(width, height, size):
    return size * size * max(width, height) / min(width, height)


cases = []
for index in range(COUNT):
    sides = np.exp(random.uniform(0, np.log(MOST_SIDE), 2)).round().astype(int)
    width, height = EXTREME[index] if index < len(EXTREME) else (int(side) for side in sides)
    mode = MODES[index % len(MODES)]
    name = f"{index}.png"
    picture(width, height, mode).save(folder / name, compress_level=1)
    image = Image.open(folder / name).convert("RGB")
    interpolation = list(FILTERS)[index % 3 // 2]
    first = index % 2
    size = next(size for size in SIZES[first:] if resized_pixels(width, height, size) <= MOST_RESIZED_PIXELS)
    evaluation = Compose([Resize(size, FILTERS[interpolation], antialias=True), CenterCrop(size)])(image)
    box_width, box_height = int(random.integers(1, width + 1)), int(random.integers(1, height + 1))
    left, top = int(random.integers(0, width - box_width + 1)), int(random.integers(0, height - box_height + 1))
    training = resized_crop(image, top, left, box_height, box_width, [size, size], FILTERS[interpolation], antialias=True)
    for transform, result in (("evaluation", evaluation), ("training", training)):
        (folder / f"{index}.{transform}").write_bytes(np.asarray(result).tobytes())
    box = {"left": left, "top": top, "width": box_width, "height": box_height}
    cases.append({"name": name, "image": f"{mode} {width} x {height}", "size": size, "interpolation": interpolation, "box": box})
(folder / "images.json").write_text(json.dumps(cases))
