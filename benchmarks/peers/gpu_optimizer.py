"""LAMB step on the parameter shapes of B/16 and L/14 (f32 weights, gradients and moments; also bf16 weights with f32 master)."""
from optimizers import *
from towers import *


def _foreach_lamb(ps, gs, ms, vs, nd, t, lr, wd, b1, b2, eps, clip):
    """Functional foreach LAMB; the first nd tensors are decayed and adapted. t, lr: 0-dim tensors (no recompilation)."""
    c = (torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gs))) / clip).clamp(min=1.)
    gs = torch._foreach_div(gs, c)
    torch._foreach_lerp_(ms, gs, 1 - b1)
    torch._foreach_mul_(vs, b2); torch._foreach_addcmul_(vs, gs, gs, 1 - b2)
    den = torch._foreach_sqrt(vs); torch._foreach_mul_(den, (1 - b2 ** t).rsqrt()); torch._foreach_add_(den, eps)
    u = torch._foreach_div(ms, den); torch._foreach_mul_(u, (1 - b1 ** t).reciprocal())
    d, n = list(torch._foreach_add(u[:nd], ps[:nd], alpha=wd)), u[nd:]
    wn, un = torch.stack(torch._foreach_norm(ps[:nd])), torch.stack(torch._foreach_norm(d))
    r = torch.where((wn > 0) & (un > 0), wn / un, 1.) * lr
    torch._foreach_sub_(ps[:nd], [x * y for x, y in zip(d, r.unbind())])
    torch._foreach_sub_(ps[nd:], torch._foreach_mul(n, lr))


class ForeachLamb:
    def __init__(s, named, mode="compile", wd=.05, betas=(.9, .98), eps=1e-6, clip=1., lr=1e-3):
        dec, non = decay_split(named); s.ps, s.nd = dec + non, len(dec)
        s.m, s.v = [torch.zeros_like(p) for p in s.ps], [torch.zeros_like(p) for p in s.ps]
        s.t, s.lr = torch.zeros((), device=s.ps[0].device), torch.tensor(lr, device=s.ps[0].device)
        s.f, s.hp = compiled(_foreach_lamb, mode), (wd, *betas, eps, clip)

    @torch.no_grad()
    def step(s):
        s.t += 1
        s.f([p.data for p in s.ps], [p.grad for p in s.ps], s.m, s.v, s.nd, s.t, s.lr, *s.hp)


if __name__ == "__main__":
    a = args(__doc__, models="B16,L14", which="flat,timm,adamw,foreach,flat-bf16,foreach-compiled", iters=20)
    for cfg in ["tiny"] if a.smoke else a.models.split(","):
        for name in a.which.split(","):
            if name == "foreach-compiled" and cfg == "L14": continue             # a minute of compilation for the same result
            def case():
                low = torch.bfloat16 if name.endswith("bf16") else torch.float32
                m = CLIP(cfg, dev=a.device, dtype=low); n = sum(p.numel() for p in m.parameters()); named = list(m.named_parameters())
                t = time.perf_counter()
                o = (make_opt(name.split("-")[0], named, "eager" if a.smoke else "compile") if not name.startswith("foreach") else ForeachLamb(named, "compile" if "comp" in name else "eager"))
                for p in m.parameters(): p.grad = torch.randn_like(p) * 1e-3
                it = (2, 1) if a.smoke else (a.iters, 4)              # with an 11 ms head start for the CPU (as inside a long step), and alone
                ms, alone = bench(o.step, a.device, *it, cold=False, lead=20_000_000), bench(o.step, a.device, *it, cold=False, lead=0)
                by = 40 if low == torch.float32 else 38          # apex-like bytes per parameter: for comparable GB/s
                emit(a, part="optim", name=name, model=cfg, mparams=n / 1e6, ms=ms, ms_alone=alone, gbps=by * n / ms / 1e6, peak_gb=torch.cuda.max_memory_allocated() / 2**30 if a.device == "cuda" else 0., wall_s=time.perf_counter() - t)
            guard(a, case, part="optim", name=name, model=cfg); torch._dynamo.reset()
            if a.device == "cuda": torch.cuda.reset_peak_memory_stats()
