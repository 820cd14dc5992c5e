"""
Loads the files of write_models.ts with the library of each layout, strictly, and compares features:
python check_written.py FOLDER
"""
import json
import sys
from pathlib import Path

import eva_clip_layout
import families
from features import features_of, inputs_for
from libraries import open_clip, safetensors, torch, transformers

TOLERANCE = 1e-4


def load_open_clip(family, weights):
    """Loads into open_clip's class of the family, with nothing missing or unexpected."""
    module = family.build_open_clip()
    module.load_state_dict(open_clip.factory.load_state_dict(str(weights)), strict=True)
    return module


def load_eva_clip(family, weights):
    module = family.build_open_clip()
    state = eva_clip_layout.to_open_clip(safetensors.torch.load_file(weights), module.visual.trunk)
    module.load_state_dict(state, strict=True)
    return module


def load_described_open_clip(family, weights):
    """Builds the model from open_clip_config.json if it is next to the weights."""
    if not (weights.parent / open_clip.constants.HF_CONFIG_NAME).exists():
        return load_open_clip(family, weights)
    return open_clip.create_model(f"local-dir:{weights.parent}")


def load_hugging_face(_, weights):
    module, report = transformers.CLIPModel.from_pretrained(weights.parent, output_loading_info=True)
    problems = {key: value for key, value in report.items() if value}
    if problems:
        raise ValueError(f"transformers reports {problems}")
    return module


LOADERS = {
    "eva_clip": load_eva_clip,
    "open_clip": load_described_open_clip,
    "openai": load_open_clip,
    "hugging_face": load_hugging_face,
}


def relative_error(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def check(folder, case):
    family = families.BY_NAME[case["family"]]
    module = LOADERS[case["layout"]](family, folder / case["weights"]).eval().double()
    with torch.no_grad():
        image, text = features_of(module, inputs_for(family), torch.float64)
    ours = safetensors.torch.load_file(folder / case["features"])
    errors = dict(image=relative_error(ours["image"], image), text=relative_error(ours["text"], text))
    return dict(name=case["name"], **errors, ok=max(errors.values()) <= TOLERANCE)


def main(folder):
    folder = Path(folder)
    failed = 0
    for case in json.loads((folder / "cases.json").read_text())["cases"]:
        try:
            result = check(folder, case)
        except Exception as error:
            result = dict(name=case["name"], ok=False, error=f"{type(error).__name__}: {error}")
        print(json.dumps(result))
        failed += not result["ok"]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
