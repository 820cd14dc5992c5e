"""Files as each library, or its training code, writes them. Every function returns the path to open."""
import json
from collections import OrderedDict

from libraries import huggingface_hub, open_clip, safetensors, timm, torch
from open_clip.push_to_hf_hub import save_config_for_hf


def cast(state, dtype):
    return {key: value.to(dtype) for key, value in state.items()}


def contiguous(state):
    """safetensors refuses tensors that share memory."""
    return {key: value.detach().clone().contiguous() for key, value in state.items()}


def pt(path, content):
    torch.save(content, path)
    return path


def safetensors_file(path, state):
    safetensors.torch.save_file(contiguous(state), path)
    return path


def open_clip_folder(path, module, family, safe=True):
    """Written as by `open_clip.push_to_hf_hub`, without a tokenizer."""
    path.mkdir()
    if safe:
        safetensors_file(path / open_clip.constants.HF_SAFE_WEIGHTS_NAME, module.state_dict())
    else:
        torch.save(module.state_dict(), path / open_clip.constants.HF_WEIGHTS_NAME)
    preprocess = dict(mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD, interpolation="bicubic")
    open_clip.model.set_model_preprocess_cfg(module.visual, preprocess)
    save_config_for_hf(module, path / open_clip.constants.HF_CONFIG_NAME, family.library_config)
    return path


def timm_folder(path, trunk):
    """With timm's config.json, which does not describe the tower's shapes."""
    timm.models.save_for_hf(trunk, path, safe_serialization=True)
    return path


def views(state):
    """The same values as views of larger storages, with non-contiguous strides and offsets."""
    changed = {}
    for index, (key, value) in enumerate(state.items()):
        if value.ndim == 2:
            changed[key] = value.detach().t().contiguous().t()
        elif value.ndim == 1:
            changed[key] = torch.stack([value.detach(), -value.detach()], dim=1)[:, 0]
        else:
            changed[key] = torch.cat([torch.full((index + 1,), 9.0), value.detach().flatten()])[index + 1 :].view(value.shape)
    return changed


def deepspeed(path, state):
    """`mp_rank_00_model_states.pt` of DeepSpeed's ZeRO, whose engine adds `module.` if it wraps another."""
    module = OrderedDict((f"module.{key}", value) for key, value in state.items())
    shapes = OrderedDict((key, value.shape) for key, value in module.items())
    content = dict(
        module=module, buffer_names=["rope.freqs_cos"], optimizer=None, param_shapes=[shapes], frozen_param_shapes=None,
        lr_scheduler=None, sparse_tensor_module_names=set(), skipped_steps=0, global_steps=7, global_samples=7 * 4096,
        dp_world_size=8, mp_world_size=1, ds_config={"train_batch_size": 4096, "fp16": {"enabled": True}},
        ds_version="0.6.5", epoch=1,
    )
    return pt(path, content)


def open_clip_training(path, module):
    """A checkpoint of open_clip's training code: tensors of a wrapped model and of an optimizer."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.0, weight_decay=0.0)
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    state = OrderedDict((f"module.{key}", value) for key, value in module.state_dict().items())
    return pt(path, dict(epoch=1, name="run", state_dict=state, optimizer=optimizer.state_dict()))


def openai_numbers(family):
    """The entries of OpenAI's archives in addition to the weights."""
    text = family.config["text_cfg"]
    return dict(
        input_resolution=torch.tensor(family.image_size),
        context_length=torch.tensor(text["context_length"]),
        vocab_size=torch.tensor(text["vocab_size"]),
    )


def openai(path, state, family):
    return pt(path, OrderedDict(**state, **openai_numbers(family)))


def torch_script(path, module, inputs, family):
    """A traced model with its code, as OpenAI publishes."""
    del module.context_length, module.vocab_size
    for name, number in openai_numbers(family).items():
        module.register_buffer(name, number)
    methods = {"encode_image": inputs["pixels"], "encode_text": inputs["tokens"].long()}
    torch.jit.trace_module(module, methods, check_trace=False).save(path)
    return path


def transformers_folder(path, module, shard="5GB"):
    module.save_pretrained(path, max_shard_size=shard)
    return path


def transformers_bin(path, module, shard="5GB"):
    """Written as by transformers before version 5, with the position ids that older versions kept as buffers."""
    module.config.save_pretrained(path)
    state = dict(module.state_dict())
    for tower in ("text_model", "vision_model"):
        count = state[f"{tower}.embeddings.position_embedding.weight"].shape[0]
        state[f"{tower}.embeddings.position_ids"] = torch.arange(count)[None]
    shards = huggingface_hub.split_torch_state_dict_into_shards(
        state, filename_pattern="pytorch_model{suffix}.bin", max_shard_size=shard
    )
    for file, keys in shards.filename_to_tensors.items():
        torch.save({key: state[key] for key in keys}, path / file)
    if shards.is_sharded:
        index = dict(metadata=shards.metadata, weight_map=shards.tensor_to_filename)
        (path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return path


