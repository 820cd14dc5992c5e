"""Symmetric contrastive loss forward + backward: open_clip as written, one shared logits matrix, and a chunked recomputing form."""
from optimizers import *
from towers import *


def open_clip_loss(i, t, s, chunk=0):
    up = lambda l: l.float() if l.dtype == torch.bfloat16 else l                 # autocast runs cross_entropy in f32
    a, b = up(s.exp() * i @ t.T), up(s.exp() * t @ i.T)
    y = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(a, y) + F.cross_entropy(b, y)) / 2


def shared_loss(i, t, s, chunk=0):
    """As open_clip, but one product serves both directions (8 instead of 12 B^2 D operations)."""
    l = ((s.exp() * i).to(i.dtype) @ t.T); l = l if l.dtype == torch.float64 else l.float()
    return (l.logsumexp(1).mean() + l.logsumexp(0).mean()) / 2 - l.diagonal().mean()


def _stats(ic, t, e, b0):
    l = (ic @ t.T).to(e.dtype) * e
    m = l.amax(0)
    return l.logsumexp(1), m, (l - m).exp().sum(0), l.diagonal(b0)


def _grad(ic, t, e, rl, cl, b0, sc):
    l = (ic @ t.T).to(e.dtype) * e
    g = (l - rl[:, None]).exp() + (l - cl).exp()
    d = torch.arange(len(ic), device=ic.device)
    g = g - 2 * (d[:, None] + b0 == torch.arange(len(t), device=ic.device)).to(g.dtype)
    ge = (g * (e * sc)).to(ic.dtype)
    return ge @ t, ge.T @ ic, (g * l).sum() * sc


class Chunked(torch.autograd.Function):
    """Row chunks; forward keeps only the two log-sum-exp vectors, backward recomputes each chunk's logits (8 B^2 D operations in all,
    O(B chunk) memory). `stats`/`grad` may be torch.compile'd: then each chunk is 1 + 2 GEMMs and a few fused reductions."""
    @staticmethod
    def forward(ctx, i, t, s, chunk, stats, grad):
        e, B = s.exp().to(torch.promote_types(s.dtype, torch.float32)), len(i)
        rl, dg, M, S = [], [], torch.full((B,), -torch.inf, device=i.device, dtype=e.dtype), torch.zeros(B, device=i.device, dtype=e.dtype)
        for b in range(0, B, chunk):
            r, m, x, _ = stats(i[b:b + chunk], t, e, 0)
            n = torch.maximum(M, m); S = S * (M - n).exp() + x * (m - n).exp(); M = n; rl.append(r)
        rl, cl = torch.cat(rl), M + S.log()
        ctx.save_for_backward(i, t, e, rl, cl); ctx.a = (chunk, grad)
        return (rl.mean() + cl.mean()) / 2 - ((i * t).sum(1, dtype=e.dtype) * e).mean()

    @staticmethod
    def backward(ctx, go):
        i, t, e, rl, cl = ctx.saved_tensors; chunk, grad = ctx.a; B = len(i); sc = go.to(e.dtype) / (2 * B)
        dt, ds, di, pos = torch.zeros(t.shape, device=t.device, dtype=e.dtype), torch.zeros((), device=t.device, dtype=e.dtype), [], torch.arange(0, B, chunk, device=i.device)
        for n, b in enumerate(range(0, B, chunk)):
            x, y, z = grad(i[b:b + chunk], t, e, rl[b:b + chunk], cl, pos[n], sc)
            di.append(x); dt += y; ds += z
        return torch.cat(di), dt.to(t.dtype), ds.to(go.dtype), None, None, None


cc = lambda f: torch.compile(f, dynamic=False)
VARIANTS = {"open_clip": open_clip_loss, "shared": shared_loss, "chunked": lambda i, t, s, c=4096: Chunked.apply(i, t, s, c, _stats, _grad),
            "open_clip-compiled": cc(open_clip_loss), "shared-compiled": cc(shared_loss),
            "chunked-compiled": (lambda st, gr: lambda i, t, s, c=4096: Chunked.apply(i, t, s, c, st, gr))(cc(_stats), cc(_grad))}

if __name__ == "__main__":
    a = args(__doc__, sizes="4096,32768", dim=512, iters=10, dtypes="bf16,f32", which=",".join(VARIANTS))
    for B in [64] if a.smoke else map(int, a.sizes.split(",")):
        for dt in a.dtypes.split(","):                                           # bf16: as under AMP; f32: TF32 products
            for name in a.which.split(","):
                def case():
                    torch.manual_seed(0); mk = lambda: F.normalize(torch.randn(B, a.dim, device=a.device), dim=-1).to(torch.bfloat16 if dt == "bf16" else torch.float32).requires_grad_()
                    i, t, s = mk(), mk(), torch.tensor(2.659, device=a.device, requires_grad=True)
                    def f(): return torch.autograd.grad(VARIANTS[name](i, t, s, 16 if a.smoke else 2048 if B > 8192 else 1024), (i, t, s))
                    if a.device == "cuda": f(); torch.cuda.synchronize(); torch.cuda.reset_peak_memory_stats(); base = torch.cuda.memory_allocated(); f()
                    pk = (torch.cuda.max_memory_allocated() - base) / 2**30 if a.device == "cuda" else 0.
                    ms = bench(f, a.device, 2 if a.smoke else a.iters, 1 if a.smoke else 3)
                    emit(a, part="loss", name=name, B=B, D=a.dim, dtype=dt, ms=ms, tflops=8 * B * B * a.dim / ms / 1e9, peak_gb=pk)
                guard(a, case, part="loss", name=name, B=B, D=a.dim, dtype=dt)
