"""Writes a CLIP model of `towers.py` with the weights of a file in open_clip's layout as image.onnx (pixels [batch, 3, S, S] normalized) and
text.onnx (tokens [batch, 77]), both with unit-length embeddings [batch, E]: the models of benchmarks/embed.ts's peer. Needs the package onnx."""
from towers import *
from safetensors.torch import load_file

TEXT = {"attn.in_proj_weight": "in_proj.weight", "attn.in_proj_bias": "in_proj.bias", "attn.out_proj.": "out_proj.", "mlp.c_fc.": "c_fc.", "mlp.c_proj.": "c_proj."}


def renamed(name):
    """open_clip's name → that in `CLIP`."""
    if name.startswith("visual.trunk."): return name.replace("visual.trunk.", "visual.")
    name = name.removeprefix("text.").replace("transformer.resblocks.", "blocks.")
    for theirs, own in TEXT.items(): name = name.replace(theirs, own)
    return name if name == "logit_scale" else "text." + name


class Image(nn.Module):
    """The tower with the weights of each block fused once, as a PyTorch expert would export it."""
    def __init__(s, m):
        super().__init__()
        s.tower = Tuned(m.visual, 0, table=m.table).eval().freeze()

    def forward(s, pixels): return F.normalize(s.tower(pixels), dim=-1)


class Captions(nn.Module):
    def __init__(s, m):
        super().__init__()
        s.tower = m.text

    def forward(s, tokens): return F.normalize(s.tower.padded(tokens), dim=-1)


def export(module, example, name, path):
    torch.onnx.export(module.eval(), (example,), path, input_names=[name], output_names=["embedding"], dynamic_axes={name: {0: "batch"}, "embedding": {0: "batch"}},
                      opset_version=17, dynamo=False)


def main():
    a = args(__doc__, model="B16", weights="", out="")
    m = CLIP(a.model, 0, "cpu").eval()
    weights = {renamed(name): t for name, t in load_file(a.weights).items()}
    missing, unexpected = m.load_state_dict(weights, strict=False)
    unexpected = [name for name in unexpected if "rope" not in name]
    if missing or unexpected: raise SystemExit(f"missing {missing[:3]}, unexpected {unexpected[:3]}")
    with torch.no_grad():
        c = CFG[a.model]
        export(Image(m), torch.zeros(2, 3, c["img"], c["img"]), "pixels", f"{a.out}/image.onnx")
        export(Captions(m), torch.ones(2, 77, dtype=torch.long), "tokens", f"{a.out}/text.onnx")
    emit(a, part="onnx", torch=torch.__version__)


if __name__ == "__main__": main()
