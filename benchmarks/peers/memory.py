"""The PyTorch side of benchmarks/memory.ts: peak resident memory of eager training steps (forward, backward, fused AdamW), with or without
activation checkpointing of every block. Prints {"bytesBefore": ..., "peakBytes": ...}; before is after the imports."""
from optimizers import *
from towers import *
from torch.utils.checkpoint import checkpoint


def status(field):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(field))


def checkpointed(block):
    forward = block.forward
    block.forward = lambda *x, **kw: checkpoint(forward, *x, use_reentrant=False, **kw)


def main():
    a = args(__doc__, model="B16", lengths="", precision="f32", steps=3, threads=2, checkpointing=dict(action="store_true"))
    torch.set_num_threads(a.threads)
    open("/proc/self/clear_refs", "w").write("5")
    before = status("VmRSS")
    m, c = CLIP(a.model, .5, "cpu").train(), CFG[a.model]
    if a.checkpointing:
        for b in (*m.visual.blocks, *m.text.blocks): checkpointed(b)
    vis, pad, pk, loss = m.build("stock", "eager")
    o = make_opt("adamw", m.named_parameters())
    lengths = torch.tensor([int(n) for n in a.lengths.split(",")])
    text = text_batch("bucket", lengths, "cpu", groups=4, vocab=c.get("vocab", 49408))
    images = torch.randn(len(lengths), 3, c["img"], c["img"])
    for _ in range(a.steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=a.precision == "bf16"):
            l = loss(vis(images), run_text(pad, pk, text), m.logit_scale)
        l.backward()
        torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        o.step()
        for p in m.parameters(): p.grad = None
    print(json.dumps(dict(bytesBefore=before, peakBytes=status("VmHWM"))), flush=True)


if __name__ == "__main__": main()
