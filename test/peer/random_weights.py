"""Random weights with which every tensor of a model affects its features."""
from libraries import torch

LEARNED_VECTORS = ("pos_embed", "position", "cls_token", "class_embedding", "token_embedding")


def fill(module, seed):
    """Norms different from one, biases different from zero, products that preserve magnitude."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if any(word in name for word in LEARNED_VECTORS):
                parameter.copy_(0.5 * noise)
            elif "logit_scale" in name:
                parameter.copy_(2.5 + 0.1 * noise)
            elif "gamma" in name:
                parameter.copy_(0.5 + 0.1 * noise)
            elif parameter.ndim > 1:
                inputs = parameter.numel() / parameter.shape[0]
                parameter.copy_(inputs**-0.5 * noise)
            elif name.endswith("weight"):
                parameter.copy_(1 + 0.25 * noise)
            else:
                parameter.copy_(0.25 * noise)


def check_that_every_tensor_counts(module, features):
    """
    Raises if the features would hardly change when a parameter is replaced by others of its size: an error in mapping it
    could then go unnoticed. Exceptions: a constant added to all keys of a head, and the logit scale.
    """
    module.zero_grad()
    joined = torch.cat([each.flatten() for each in features])
    direction = torch.randn(joined.shape, generator=torch.Generator().manual_seed(0), dtype=joined.dtype)
    (joined @ direction / (joined.norm() * direction.norm())).backward()
    for name, parameter in module.named_parameters():
        if "logit_scale" in name or name.endswith("k_proj.bias"):
            continue
        weight = 0.0 if parameter.grad is None else (parameter.grad.norm() * parameter.norm()).item()
        if weight < 1e-3:
            raise ValueError(f"{name} hardly changes the features: {weight:.1e}")
    module.zero_grad()
