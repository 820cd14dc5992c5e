"""LayerNorm, SwiGLU + sub-LN, and patch embedding + drop + positions at B/16 shapes, bf16, eager and compiled, forward and backward separately."""
from optimizers import *
from towers import *
import torch._functorch.config as fc
fc.donated_buffer = False


def ln(x, w, b): return F.layer_norm(x, x.shape[-1:], w, b, 1e-6)
def add_ln(x, r, w, b): h = x + r; return h, F.layer_norm(h, h.shape[-1:], w, b, 1e-6)
def swiglu(gu, w, b): g, u = gu.chunk(2, -1); return F.layer_norm(F.silu(g) * u, w.shape, w, b, 1e-6)


if __name__ == "__main__":
    a = args(__doc__, batch=1024, iters=40)
    dev, dt, B = a.device, torch.bfloat16, 4 if a.smoke else a.batch; M = B * 99; it = (2, 1) if a.smoke else (a.iters, 8)
    r = lambda *s: torch.randn(*s, device=dev, dtype=dt)
    def norm(n): return torch.ones(n, device=dev, dtype=dt).requires_grad_(), torch.zeros(n, device=dev, dtype=dt).requires_grad_()
    cases = [("LayerNorm 768", ln, (r(M, 768).requires_grad_(), *norm(768)), 4, 6, 768), ("residual + LayerNorm 768", add_ln, (r(M, 768).requires_grad_(), r(M, 768).requires_grad_(), *norm(768)), 8, 8, 768),
             ("SwiGLU + sub-LN 2048", swiglu, (r(M, 4096).requires_grad_(), *norm(2048)), 6, 10, 2048)]
    for name, f, x, by, byb, n in cases:                           # by, byb: ideal bytes per element of the output, forward and backward
        for mode in ("eager", "compile", "mapw"):
            def case():
                torch._dynamo.reset(); g = compiled(f, "eager" if a.smoke and mode == "mapw" else mode)
                ms = bench(lambda: g(*x), dev, *it); o = g(*x); o = o if isinstance(o, tuple) else (o,); do = [torch.randn_like(t) for t in o]
                mb = bench(lambda: torch.autograd.grad(o, x, do, retain_graph=True), dev, *it)
                emit(a, part="layers", name=name, mode=mode, rows=M, ms=ms, ms_bwd=mb, gbps=by * M * n / ms / 1e6, gbps_bwd=byb * M * n / mb / 1e6)
            guard(a, case, part="layers", name=name, mode=mode)
    del cases; clean()
    for drop in (.5, 0.):
        m = CLIP("tiny" if a.smoke else "B16", drop, dev, dt).train(); t = m.build("tuned")[0]; c = CFG["tiny" if a.smoke else "B16"]
        img = r(B, 3, c["img"], c["img"]); ps = [m.visual.patch_embed.proj.weight, m.visual.patch_embed.proj.bias, m.visual.pos_embed, m.visual.cls_token]
        for impl, f in (("timm", lambda i: m.visual._pos_embed(m.visual.patch_embed(i))), ("tuned", lambda i: t.embed(i))):
            for mode in ("eager", "compile"):
                def case():
                    torch._dynamo.reset(); g = compiled(f, mode); ms = bench(lambda: g(img), dev, *it); o = g(img)[0]; do = torch.randn_like(o)
                    mb = bench(lambda: torch.autograd.grad(o, ps, do, retain_graph=True), dev, *it)
                    S = o.shape[1]; by = 2 * B * ((S - 1) * 3 * c["P"] ** 2 + S * c["W"])    # kept pixels read + tokens written
                    emit(a, part="layers", name=f"patch embed + pos, drop {drop}", impl=impl, mode=mode, B=B, ms=ms, ms_bwd=mb, gbps=by / ms / 1e6)
                guard(a, case, part="layers", name="patch embed", impl=impl, mode=mode)
