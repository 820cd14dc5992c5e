"""Random weights under which every tensor of a model shows in its features."""
from libraries import torch

LEARNED_VECTORS = ("pos_embed", "position", "cls_token", "class_embedding", "token_embedding")


def fill(module, seed):
    """Norms unlike ones, biases unlike zeros, products that keep the size of what they are given."""
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
    Raises when features would hardly change if a parameter were replaced by others of its size: a mistake in mapping it
    could then pass. A constant added to all keys of a head changes no softmax, and the scale of logits no feature.
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
