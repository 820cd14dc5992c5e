"""Inputs for a model, and its features before normalization, for every library."""
from libraries import torch

BATCH = 3


def inputs_for(family):
    """Normalized images, and captions of several lengths: start, ids, end of text, zeros."""
    generator = torch.Generator().manual_seed(1)
    size, text = family.image_size, family.config["text_cfg"]
    context, vocabulary = text["context_length"], text["vocab_size"]
    start, end = vocabulary - 2, vocabulary - 1
    tokens = torch.zeros(BATCH, context, dtype=torch.int32)
    for row, length in zip(tokens, (context, context // 2, 3)):
        row[:length] = torch.randint(1, start, (length,), generator=generator)
        row[0], row[length - 1] = start, end
    pixels = torch.randn(BATCH, 3, size, size, generator=generator)
    return {"pixels": pixels, "tokens": tokens}


def features_of(module, inputs, dtype=torch.float32):
    """([B, E], [B, E])"""
    pixels, tokens = inputs["pixels"].to(dtype), inputs["tokens"].long()
    if hasattr(module, "encode_image"):
        return module.encode_image(pixels), module.encode_text(tokens)
    return tensor_of(module.get_image_features(pixels)), tensor_of(module.get_text_features(tokens))


def tensor_of(output):
    """The features that transformers returns, since version 5 in an object."""
    return output if torch.is_tensor(output) else output.pooler_output
