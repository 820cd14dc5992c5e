"""The keys of EVA-CLIP's own checkpoints, from those of open_clip's models with a timm tower."""
from libraries import torch
from timm.models.eva import checkpoint_filter_fn

SWIGLU = (("mlp.norm.", "mlp.ffn_ln."), ("mlp.fc1_g.", "mlp.w1."), ("mlp.fc1_x.", "mlp.w2."), ("mlp.fc2.", "mlp.w3."))
ATTENTION = (("attn.norm.", "attn.inner_attn_ln."), ("q_proj.bias", "q_bias"), ("v_proj.bias", "v_bias"))


def tower_state(trunk):
    """The image tower's tensors, with the RoPE tables that the published files repeat in every block."""
    state = dict(trunk.state_dict())
    has_swiglu = any(".mlp.fc1_g." in key for key in state)
    renamed = {}
    for key, tensor in state.items():
        for timm_name, eva_name in ATTENTION + (SWIGLU if has_swiglu else ()):
            key = key.replace(timm_name, eva_name)
        renamed[key] = tensor
    check_against_timm(renamed, trunk)
    if trunk.rope is not None:
        sine, cosine = trunk.rope.pos_embed.chunk(2, -1)
        for holder in ["rope", *(f"blocks.{i}.attn.rope" for i in range(len(trunk.blocks)))]:
            renamed[f"{holder}.freqs_cos"] = cosine
            renamed[f"{holder}.freqs_sin"] = sine
    return renamed


def check_against_timm(renamed, trunk):
    """Raises unless timm, which reads EVA's files, recognizes the renamed tensors as the tower."""
    read = checkpoint_filter_fn(dict(renamed), trunk)
    state = trunk.state_dict()
    if read.keys() != state.keys() or any(not torch.equal(read[key], state[key]) for key in state):
        raise ValueError(f"timm reads other tensors: {sorted(read.keys() ^ state.keys())}")


def pretraining_state(trunk):
    """A tower of masked-image modeling, whose head predicts EVA-CLIP's features."""
    width = trunk.embed_dim
    kept = {key: value for key, value in tower_state(trunk).items() if not key.startswith("head.")}
    task = {"mask_token": torch.ones(1, 1, width), "lm_head.weight": torch.ones(64, width), "lm_head.bias": torch.ones(64)}
    return {**kept, **task}


def model_state(module):
    """All tensors of a CustomTextCLIP under EVA-CLIP's keys; the text tower's are the same."""
    rest = {key: value for key, value in module.state_dict().items() if not key.startswith("visual.")}
    return {**{f"visual.{key}": value for key, value in tower_state(module.visual.trunk).items()}, **rest}


def to_open_clip(state, trunk):
    """
    The tensors of an EVA-CLIP file under open_clip's keys, its image tower as timm reads it. Raises if the RoPE tables
    differ from timm's.
    """
    tower = checkpoint_filter_fn(dict(state), trunk)
    tables = {key: value for key, value in state.items() if "rope." in key}
    if trunk.rope is not None:
        sine, cosine = trunk.rope.pos_embed.chunk(2, -1)
        for key, value in tables.items():
            torch.testing.assert_close(value.float(), cosine if key.endswith("cos") else sine, rtol=0.01, atol=0.01)
        if len(tables) != 2 * (1 + len(trunk.blocks)):
            raise ValueError(f"{len(tables)} RoPE tables")
    rest = {key: value for key, value in state.items() if not key.startswith("visual.")}
    return {**{f"visual.trunk.{key}": value for key, value in tower.items()}, **rest}
