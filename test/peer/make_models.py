"""
Writes models of open_clip, timm and transformers with random weights, as those libraries write them, and the features
that they compute in double precision: python make_models.py FOLDER [FAMILY…]

FOLDER/cases.json lists the files.
"""
import copy
import json
import sys
from pathlib import Path

import eva_clip_layout
import families
import formats
from features import features_of, inputs_for
from libraries import VERSIONS, safetensors, torch
from random_weights import check_that_every_tensor_counts


class Writer:
    """Collects the cases of one family: files, and the features of their weights as rounded to the stored type."""

    def __init__(self, folder, family, cases):
        self.folder, self.family, self.cases = folder / family.name, family, cases
        self.inputs = inputs_for(family)
        self.module = family.create()
        self.features = {}
        self.folder.mkdir(parents=True)
        check_that_every_tensor_counts(self.module, features_of(self.module, self.inputs))

    def expected(self, dtype):
        """The name of the file with inputs and features for weights stored in a type."""
        if dtype not in self.features:
            rounded = copy.deepcopy(self.module)
            with torch.no_grad():
                for parameter in rounded.parameters():
                    parameter.copy_(parameter.to(dtype))
            image, text = features_of(rounded.double(), self.inputs, torch.float64)
            path = self.folder / f"expected_{str(dtype).removeprefix('torch.')}.safetensors"
            tensors = {**self.inputs, "image_features": image.detach().float(), "text_features": text.detach().float()}
            safetensors.torch.save_file(tensors, path)
            self.features[dtype] = path
        return str(self.features[dtype].relative_to(self.folder.parent))

    def add(self, name, save, *, dtype=torch.float32, source=False, **stated):
        """
        `save` gets the path of the file or folder to write, and returns the path to load. `stated` is configuration that
        the loader cannot find in the files.
        """
        path = save(self.folder / name)
        case = dict(
            name=f"{self.family.name}/{name}",
            family=self.family.name,
            path=str(path.relative_to(self.folder.parent)),
            source=source,
            **stated,
        )
        case.setdefault("expected", self.expected(dtype))
        self.cases.append(case)

    def add_headless(self, name, save):
        """A tower without a projection: its features are those of a model with the identity as projection."""
        trunk = copy.deepcopy(self.module.visual.trunk).double()
        with torch.no_grad():
            image = trunk.forward_head(trunk.forward_features(self.inputs["pixels"].double()), pre_logits=True)
        path = self.folder / f"expected_{name}.safetensors"
        safetensors.torch.save_file({**self.inputs, "image_features": image.float(), "text_features": image.float()}, path)
        expected = str(path.relative_to(self.folder.parent))
        config = {**self.family.config, "embed_dim": image.shape[1]}
        self.add(name, save, expected=expected, tower="image", headless=True, config=config)


def write_trunk(writer):
    """open_clip's model with a timm tower, in open_clip's layout and in EVA-CLIP's."""
    module, family = writer.module, writer.family
    folder = lambda path: formats.open_clip_folder(path, module, family)
    writer.add("open_clip", folder, source=True, config=family.config)
    writer.add("fp16.pt", eva_clip_fp16(module), dtype=torch.float16, config=family.config)
    write_towers(writer)


def write_towers(writer):
    """The image tower alone: from masked-image modeling, with EVA's names, and as timm saves it."""
    trunk, config = writer.module.visual.trunk, writer.family.config
    writer.add_headless("mim.pt", lambda path: formats.pt(path, {"module": eva_clip_layout.pretraining_state(trunk)}))
    writer.add("timm", lambda path: formats.timm_folder(path, trunk), tower="image", config=config)


def eva_clip_fp16(module):
    """EVA-CLIP's published files are bare fp16 tensors."""
    halves = formats.cast(eva_clip_layout.model_state(module), torch.float16)
    return lambda path: formats.pt(path, halves)


def write_eva_clip(writer):
    """Models that are only published in EVA-CLIP's own layout."""
    config = writer.family.config
    writer.add("fp16.pt", eva_clip_fp16(writer.module), dtype=torch.float16, source=True, config=config)


def write_bare_eva_clip(writer):
    writer.add("bare.pt", eva_clip_fp16(writer.module), dtype=torch.float16)


def write_bare_vit(writer):
    """open_clip's weights without a configuration, which do not show the activation."""
    halves = formats.cast(writer.module.state_dict(), torch.float16)
    bare = lambda path: formats.safetensors_file(path, halves)
    writer.add("bare.safetensors", bare, dtype=torch.float16, quickGelu=writer.family.config.get("quick_gelu", False))


def write_pt_variants(writer):
    """The forms in which .pt files nest and store the same tensors."""
    module, state = writer.module, eva_clip_layout.model_state(writer.module)
    variants = {
        "plain.pt": (torch.float32, lambda path: formats.pt(path, state)),
        "bf16.pt": (torch.bfloat16, lambda path: formats.pt(path, formats.cast(state, torch.bfloat16))),
        "model.pt": (torch.float32, lambda path: formats.pt(path, {"model": state})),
        "state_dict.pt": (torch.float32, lambda path: formats.pt(path, {"state_dict": state, "epoch": 3})),
        "views.pt": (torch.float32, lambda path: formats.pt(path, formats.views(state))),
        "deepspeed.pt": (torch.float16, lambda path: formats.deepspeed(path, formats.cast(state, torch.float16))),
        "open_clip_training.pt": (torch.float32, lambda path: formats.open_clip_training(path, module)),
        "eva_clip.safetensors": (torch.float32, lambda path: formats.safetensors_file(path, state)),
        "bf16.safetensors": (
            torch.bfloat16,
            lambda path: formats.safetensors_file(path, formats.cast(state, torch.bfloat16)),
        ),
    }
    for name, (dtype, save) in variants.items():
        writer.add(name, save, dtype=dtype, config=writer.family.config)


def write_vit(writer):
    module, family = writer.module, writer.family
    writer.add("open_clip", lambda path: formats.open_clip_folder(path, module, family), source=True)
    writer.add("open_clip_bin", lambda path: formats.open_clip_folder(path, module, family, safe=False))


def write_openai(writer):
    """OpenAI's own files, as state dicts and as published."""
    family = writer.family
    halves = formats.cast(writer.module.state_dict(), torch.float16)
    script = family.create()
    writer.add("openai.pt", lambda path: formats.openai(path, halves, family), dtype=torch.float16)
    writer.add("script.pt", lambda path: formats.torch_script(path, script, writer.inputs, family))


def write_transformers(writer):
    module = writer.module
    writer.add("safetensors", lambda path: formats.transformers_folder(path, module), source=True)
    writer.add("safetensors_sharded", lambda path: formats.transformers_folder(path, module, shard="300KB"))
    writer.add("bin", lambda path: formats.transformers_bin(path, module))
    writer.add("bin_sharded", lambda path: formats.transformers_bin(path, module, shard="300KB"))
    text = {**families.BY_NAME["eva01_b"].config, "quick_gelu": writer.family.config["quick_gelu"]}
    writer.add("text_tower", lambda path: formats.transformers_folder(path, module), tower="text", config=text)


def main(folder, *names):
    cases = []
    torch.manual_seed(0)
    groups = [
        (families.TRUNKS, write_trunk),
        (families.WITHOUT_LIBRARY, write_eva_clip),
        (families.VITS, write_vit),
        (families.TRANSFORMERS, write_transformers),
        (families.PUBLISHED_WIDTHS, write_bare_eva_clip),
        (families.PUBLISHED_VIT_WIDTHS, write_bare_vit),
    ]
    extra = {"eva02_b": write_pt_variants, "vit_b_32_quickgelu": write_openai}
    for group, write in groups:
        for family in group:
            if names and family.name not in names:
                continue
            writer = Writer(Path(folder), family, cases)
            write(writer)
            extra.get(family.name, lambda _: None)(writer)
    (Path(folder) / "cases.json").write_text(json.dumps(dict(versions=VERSIONS, cases=cases), indent=1))
    print(f"{len(cases)} files of {', '.join(f'{name} {version}' for name, version in VERSIONS.items())}")


if __name__ == "__main__":
    main(*sys.argv[1:])
