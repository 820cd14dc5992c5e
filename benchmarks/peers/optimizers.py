"""LAMB in the fastest form known for PyTorch (one flat buffer, three compiled passes), and others with the same interface."""
from measure import *


# ---------------------------------------------------------------- LAMB (apex/timm semantics: global clip 1.0, no adaptation where wd = 0)
def decay_split(named):
    no = lambda n, p: p.ndim <= 1 or n.endswith((".bias", "pos_embed", "cls_token", "positional_embedding", "logit_scale"))
    named = list(named)
    return [p for n, p in named if not no(n, p)], [p for n, p in named if no(n, p)]


def _lamb0(g, clip): return (clip / g.float().square().sum(1).double().sum().sqrt()).clamp(max=1.).float()


def _u(m, v, w, wd, inv, eps): return m * inv[0] / ((v * inv[1]).sqrt() + eps) + wd * w


def _lamb1(g, w, m, v, row, wd, c, inv, n, b1, b2, eps):
    gs = g.float() * c
    m.lerp_(gs, 1 - b1)
    v.copy_(v * b2 + gs * gs * (1 - b2))
    u = _u(m, v, w, wd, inv, eps)
    z = torch.zeros(n, device=w.device, dtype=torch.float64)                     # 25k rows of the token table: sum in f64
    return z.index_add(0, row, u.square().sum(1).double()), z.index_add(0, row, w.square().sum(1).double())


def _lamb2(w, low, m, v, row, wd, inv, r, eps):
    w.sub_(r[row][:, None] * _u(m, v, w, wd, inv, eps))
    if low is not None: low.copy_(w)


class FlatLamb:
    """LAMB over ONE flat buffer, every tensor padded to rows of 1024 so that each row belongs to one tensor: torch.compile makes
    three passes (grad norm; moments + row norms; update recomputed + weights): 44 B/parameter in f32, as apex. bf16 parameters get
    an f32 master and are rewritten in the last pass. Gradients are gathered with one foreach copy (included in the timing)."""
    ROW = 1024
    def __init__(s, named, lr=1e-3, betas=(.9, .98), eps=1e-6, wd=.05, clip=1.0, mode="compile"):
        dec, non = decay_split(named)
        s.ps, R = dec + non, FlatLamb.ROW
        dev, dt = s.ps[0].device, s.ps[0].dtype
        rows = [-(-p.numel() // R) for p in s.ps]; n = sum(rows)
        mk = lambda d: torch.zeros(n, R, device=dev, dtype=d)
        s.w, s.m, s.v, s.g, s.low = mk(torch.float32), mk(torch.float32), mk(torch.float32), mk(dt), None if dt == torch.float32 else mk(dt)
        s.row = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor(rows)).to(dev)
        s.adapt = torch.tensor([i < len(dec) for i in range(len(rows))], device=dev)
        s.wd = (s.adapt.float() * wd)[s.row][:, None].contiguous()
        s.t, s.lr, s.hp, s.clip = torch.zeros((), device=dev), torch.tensor(lr, device=dev), (*betas, eps), clip
        s.bt = torch.tensor(betas, device=dev, dtype=torch.float64)
        view = lambda f: [x[:p.numel()].view_as(p) for x, p in zip((c.view(-1) for c in f.split(rows)), s.ps)]
        s.gv, s.wv = view(s.g), view(s.w)
        for p, x, y in zip(s.ps, s.wv, view(s.low if s.low is not None else s.w)):
            x.copy_(p.data.float()); y.copy_(p.data); p.data = y
        s.f0, s.f1, s.f2 = compiled(_lamb0, mode), compiled(_lamb1, mode), compiled(_lamb2, mode)

    @torch.no_grad()
    def step(s):
        torch._foreach_copy_(s.gv, [p.grad for p in s.ps])
        s.t += 1
        inv = (1 - s.bt ** s.t).reciprocal().float()                             # scalars stay on the device, outside the big kernels
        un, wn = s.f1(s.g, s.w, s.m, s.v, s.row, s.wd, s.f0(s.g, s.clip), inv, len(s.ps), *s.hp)
        r = s.lr * torch.where(s.adapt & (wn > 0) & (un > 0), (wn / un).sqrt(), 1.).float()
        s.f2(s.w, s.low, s.m, s.v, s.row, s.wd, inv, r, s.hp[2])

    def master(s, p): return s.wv[next(i for i, q in enumerate(s.ps) if q is p)]


class Master:
    """f32 master weights around any torch optimizer (timm Lamb, fused AdamW); for f32 parameters it steps them directly."""
    def __init__(s, named, make):
        named = list(named); s.ps = [p for _, p in named]; s.low = s.ps[0].dtype in (torch.bfloat16, torch.float16)
        ms = [(n, nn.Parameter(p.detach().float().clone()) if s.low else p) for n, p in named]
        s.ms = [p for _, p in ms]; dec, non = decay_split(ms)
        s.o = make([dict(params=dec, weight_decay=.05), dict(params=non, weight_decay=0.)])
        if s.low:
            for p in s.ms: p.grad = torch.zeros_like(p)

    @torch.no_grad()
    def step(s):
        if s.low: torch._foreach_copy_([m.grad for m in s.ms], [p.grad for p in s.ps])
        s.o.step()
        if s.low: torch._foreach_copy_(s.ps, s.ms)

    def master(s, p): return s.ms[next(i for i, q in enumerate(s.ps) if q is p)]


def make_opt(name, named, mode="compile"):
    if name == "flat": return FlatLamb(named, mode=mode)
    if name == "timm":
        import timm.optim
        kw = dict(foreach=True) if "foreach" in inspect.signature(timm.optim.Lamb.__init__).parameters else {}
        return Master(named, lambda g: timm.optim.Lamb(g, lr=1e-3, betas=(.9, .98), eps=1e-6, **kw))
    return Master(named, lambda g: torch.optim.AdamW(g, lr=1e-3, betas=(.9, .98), eps=1e-6, fused=True))
