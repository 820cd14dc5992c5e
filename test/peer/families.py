"""One small model for every family of published models, each an instance of its library's class."""
from dataclasses import dataclass, field
from functools import partial
from typing import Callable
from unittest import mock

from libraries import open_clip, timm, torch, transformers
from random_weights import fill
from timm.layers import RmsNorm

EMBED_DIM = 48
TEXT = dict(context_length=16, vocab_size=96, width=128, heads=2, layers=2)


@dataclass(frozen=True)
class Family:
    """A model with its configuration in eva-clip's form and in the library's."""

    name: str
    build: Callable[[], torch.nn.Module]
    config: dict
    library_config: dict = field(default_factory=dict)

    @property
    def image_size(self):
        return self.config["vision_cfg"]["image_size"]

    def build_open_clip(self):
        """The corresponding class of open_clip, which differs for transformers' models."""
        is_hugging_face = "text_config" in self.library_config
        return open_clip.CLIP(**self.config) if is_hugging_face else self.build()

    def create(self):
        """The model, with the same weights at every call."""
        module = self.build()
        fill(module, seed=sum(self.name.encode()))
        return module.eval()


def trunk_family(
    name, published, *, width, heads, mlp_ratio, image=48, patch=16, layers=2, fields=None, trunk=None, head_bias=True
):
    """A published open_clip model with a timm tower, at reduced size. `fields` are eva-clip's, `trunk` timm's."""
    library_config = {**open_clip.get_model_config(published), "embed_dim": EMBED_DIM, "text_cfg": TEXT}
    size = dict(img_size=image, patch_size=patch, embed_dim=width, depth=layers, num_heads=heads, mlp_ratio=mlp_ratio)
    reduced = partial(timm.create_model, **size, **(trunk or {}))

    def build():
        with mock.patch.object(timm, "create_model", reduced):
            settings = {key: value for key, value in library_config.items() if key != "custom_text"}
            module = open_clip.CustomTextCLIP(**settings)
        if not head_bias:
            module.visual.trunk.head = torch.nn.Linear(width, EMBED_DIM, bias=False)
        return module

    vision = dict(
        image_size=image, layers=layers, width=width, head_width=width // heads, mlp_ratio=mlp_ratio, patch_size=patch,
        eva_model_name=f"eva-clip-{name}", **(fields or {}),
    )
    config = dict(embed_dim=EMBED_DIM, vision_cfg=vision, text_cfg=TEXT)
    return Family(name, build, config, library_config)


def vit_family(name, published, *, width, image, layers=2, custom_text=False):
    """A published open_clip vision transformer in OpenAI's layout, at reduced size; `custom_text` puts the text tower below `text.`."""
    library_config = {**open_clip.get_model_config(published), "embed_dim": EMBED_DIM, "text_cfg": TEXT}
    vision = {**library_config["vision_cfg"], "layers": layers, "width": width, "image_size": image}
    library_config["vision_cfg"] = vision
    model_class = open_clip.CustomTextCLIP if custom_text else open_clip.CLIP
    build = partial(model_class, **library_config)
    if custom_text:
        library_config = {**library_config, "custom_text": True}
    return Family(name, build, library_config, library_config)


def transformers_family(name, *, activation, width, heads, hidden, eos_token_id):
    """transformers' CLIP, configured as OpenAI's models (QuickGELU) or LAION's (GELU)."""
    text = dict(
        vocab_size=TEXT["vocab_size"], hidden_size=TEXT["width"], intermediate_size=4 * TEXT["width"],
        num_hidden_layers=2, num_attention_heads=TEXT["heads"], max_position_embeddings=TEXT["context_length"],
        hidden_act=activation, projection_dim=EMBED_DIM, bos_token_id=TEXT["vocab_size"] - 2,
        eos_token_id=eos_token_id,
    )
    vision = dict(
        hidden_size=width, intermediate_size=hidden, num_hidden_layers=2, num_attention_heads=heads, image_size=48,
        patch_size=16, hidden_act=activation, projection_dim=EMBED_DIM,
    )
    library_config = dict(text_config=text, vision_config=vision, projection_dim=EMBED_DIM)

    def build():
        return transformers.CLIPModel(transformers.CLIPConfig(**library_config))

    config = dict(
        embed_dim=EMBED_DIM,
        quick_gelu=activation == "quick_gelu",
        vision_cfg=dict(
            image_size=48, layers=2, width=width, head_width=width // heads, mlp_ratio=hidden / width, patch_size=16
        ),
        text_cfg=TEXT,
    )
    return Family(name, build, config, library_config)


EVA02 = dict(rope=True, pt_hw_seq_len=16, intp_freq=True, naiveswiglu=True, subln=True)
EVA02_MLP = 4 * 2 / 3
BILLIONS = dict(width=256, heads=2, mlp_ratio=5.0, image=42, patch=14, head_bias=False)
RMS_NORM = dict(use_rms_norm=True, qkv_bias=False)
TIMM_RMS_NORM = dict(norm_layer=partial(RmsNorm, eps=1e-6), qkv_bias=False)

TRUNKS = [
    trunk_family("eva02_b", "EVA02-B-16", width=128, heads=2, mlp_ratio=EVA02_MLP, image=64, fields=EVA02),
    trunk_family("eva02_l_336", "EVA02-L-14-336", width=128, heads=2, mlp_ratio=EVA02_MLP, image=336, patch=14, fields=EVA02),
    trunk_family("eva01_g", "EVA01-g-14", width=176, heads=2, mlp_ratio=4.3637, image=42, patch=14),
    trunk_family(
        "eva02_e", "EVA02-E-14-plus", width=224, heads=2, mlp_ratio=15360 / 1792, image=42, patch=14,
        fields=dict(postnorm=True),
    ),
    trunk_family(
        "eva01_b", "EVA01-g-14", width=128, heads=2, mlp_ratio=4.0, fields=dict(ls_init_value=0.1),
        trunk=dict(init_values=0.1),
    ),
]
# EVA-CLIP-8B and 18B: no library has them, but timm's class can compute them.
WITHOUT_LIBRARY = [
    trunk_family("eva_8b", "EVA01-g-14", **BILLIONS, fields=RMS_NORM, trunk=TIMM_RMS_NORM),
    trunk_family(
        "eva_18b", "EVA02-E-14-plus", **BILLIONS, fields={**RMS_NORM, "postnorm": True}, trunk=TIMM_RMS_NORM,
    ),
]
VITS = [
    vit_family("vit_b_32_quickgelu", "ViT-B-32-quickgelu", width=128, image=96),
    vit_family("vit_b_16", "ViT-B-16", width=128, image=64),
    vit_family("vit_l_14_336_quickgelu", "ViT-L-14-336-quickgelu", width=128, image=336),
    vit_family("vit_l_14_custom_text", "ViT-L-14", width=128, image=42, custom_text=True),
    vit_family("vit_h_14", "ViT-H-14", width=160, image=42),
    vit_family("vit_g_14", "ViT-g-14", width=176, image=42),
    vit_family("vit_bigg_14", "ViT-bigG-14", width=208, image=42),
]
TRANSFORMERS = [
    transformers_family("hf_openai", activation="quick_gelu", width=128, heads=2, hidden=512, eos_token_id=2),
    transformers_family("hf_laion", activation="gelu", width=160, heads=2, hidden=640, eos_token_id=95),
]

# Of published widths: with the shapes, they determine what a file without a configuration does not state, the head width
# and rotary positions.
PUBLISHED_WIDTHS = [
    trunk_family("eva02_b_width", "EVA02-B-16", width=768, heads=12, mlp_ratio=EVA02_MLP, layers=1, fields=EVA02),
    trunk_family("eva01_g_width", "EVA01-g-14", width=1408, heads=16, mlp_ratio=4.3637, image=42, patch=14, layers=1),
    trunk_family("eva02_e_width", "EVA02-E-14", width=1792, heads=16, mlp_ratio=15360 / 1792, image=42, patch=14, layers=1),
]
PUBLISHED_VIT_WIDTHS = [
    vit_family("vit_h_14_width", "ViT-H-14", width=1280, image=42, layers=1),
    vit_family("vit_bigg_14_width", "ViT-bigG-14", width=1664, image=42, layers=1),
]

BY_NAME = {family.name: family for family in TRUNKS + WITHOUT_LIBRARY + VITS + TRANSFORMERS}
