"""Shared parts of the PyTorch peer: models, text batches, LAMB, loss, timing, JSON lines and the table."""
import os
os.environ.setdefault("TORCH_CUDNN_SDPA_AVOID_RECOMPILE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
import argparse, gc, inspect, json, math, statistics, sys, time, warnings
import torch, torch.nn as nn, torch.nn.functional as F
warnings.filterwarnings("ignore")
T0 = time.perf_counter()
CFG = {  # vision: timm name, width, depth, heads, hidden, image, patch; text: width, heads, layers; joint width
    "B16": dict(timm="eva02_base_patch16_clip_224", W=768, D=12, H=12, hid=2048, img=224, P=16, tw=512, th=8, tl=12, E=512),
    "L14": dict(timm="eva02_large_patch14_clip_224", W=1024, D=24, H=16, hid=2730, img=224, P=14, tw=768, th=12, tl=12, E=768),
    "tiny": dict(timm=None, W=128, D=4, H=2, hid=341, img=48, P=8, tw=128, th=2, tl=2, E=128),
    "demo": dict(timm=None, W=128, D=4, H=2, hid=344, img=48, P=8, tw=128, th=2, tl=2, E=128, vocab=4096)}
PARAMS = {"B16": (86263040, 63428096), "L14": (304105152, 123650304)}  # published: vision, text (+ 1 logit_scale)


# ---------------------------------------------------------------- command line, output, timing
def args(desc, **extra):
    ap = argparse.ArgumentParser(description=desc)
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cuda", "cpu"])
    ap.add_argument("--smoke", action="store_true", help="tiny shapes, to test the path on a CPU")
    ap.add_argument("--limit", type=float, default=1e9, help="seconds after which no new case starts")
    ap.add_argument("--json", default=None, help="also append the JSON lines to this file")
    for k, v in extra.items():
        o = v if isinstance(v, dict) else dict(default=v, type=type(v))
        ap.add_argument("--" + k.replace("_", "-"), **o)
    a = ap.parse_args()
    if a.device == "cuda":
        torch.set_float32_matmul_precision("high")          # TF32 for what stays f32
        torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
        emit(a, part="machine", gpu=torch.cuda.get_device_name(), torch=torch.__version__, cudnn=torch.backends.cudnn.version())
    import torch._dynamo as d
    for k in ("recompile_limit", "cache_size_limit"):       # bucketed text has up to 10 static lengths
        if hasattr(d.config, k): setattr(d.config, k, 64)
    d.config.automatic_dynamic_shapes = False
    return a


def emit(a, **row):
    row = {k: (float(f"{v:.5g}") if isinstance(v, float) else v) for k, v in row.items()}
    line = json.dumps(row)
    print(line, flush=True)
    if a.json:
        with open(a.json, "a") as f: f.write(line + "\n")


def left(a): return a.limit - (time.perf_counter() - T0)


def guard(a, fn, **row):
    """Run one case; a failure (unsupported backend, out of memory, compile error) becomes a JSON line, not an abort."""
    if left(a) <= 0: return emit(a, **row, error="skipped: time limit")
    try:
        return fn()
    except Exception as e:
        oom = isinstance(e, torch.OutOfMemoryError) or "out of memory" in str(e)
        emit(a, **row, error="OOM" if oom else f"{type(e).__name__}: {str(e).strip().splitlines()[0][:160] if str(e).strip() else ''}")
        return "OOM" if oom else "ERR"
    finally:
        clean()


def clean():
    gc.collect()
    if torch.cuda.is_available(): torch.cuda.empty_cache()


_flush = None
def bench(fn, dev, iters=50, warm=10, cold=True, lead=600_000):
    """Median ms. CUDA: events, L2 flushed by a 256 MB write before each call (cold), and a short device-side sleep so that the
    CPU has queued the whole call before the first event fires: launch gaps never count against the peer."""
    global _flush
    for _ in range(warm): fn()
    if dev != "cuda":
        ts = []
        for _ in range(iters):
            t = time.perf_counter(); fn(); ts.append((time.perf_counter() - t) * 1e3)
        return statistics.median(ts)
    if cold and _flush is None: _flush = torch.empty(64 << 20, dtype=torch.int32, device=dev)
    ev = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(iters)]
    torch.cuda.synchronize()
    for s, e in ev:
        if cold: _flush.zero_()
        if lead: torch.cuda._sleep(lead)                     # 600,000 cycles: about 0.35 ms
        s.record(); fn(); e.record()
    torch.cuda.synchronize()
    return statistics.median(s.elapsed_time(e) for s, e in ev)


def set_sdpa(name, dev):
    """Pin scaled_dot_product_attention to one backend (global switches: torch.compile traces under them too)."""
    if dev != "cuda": return
    c = torch.backends.cuda
    for k, f in (("flash", c.enable_flash_sdp), ("cudnn", c.enable_cudnn_sdp), ("efficient", c.enable_mem_efficient_sdp)):
        f(name in (k, "auto"))
    c.enable_math_sdp(name in ("math", "auto"))


def compiled(fn, mode):
    """eager | compile | mapw (pointwise autotuning + coordinate descent, cuBLAS GEMMs) | maxat | ro (CUDA graphs)"""
    if mode == "eager": return fn
    kw = dict(dynamic=False)
    if mode == "mapw": kw["options"] = {"max_autotune_pointwise": True, "coordinate_descent_tuning": True}
    if mode == "maxat": kw["mode"] = "max-autotune-no-cudagraphs"
    if mode == "ro": kw["mode"] = "reduce-overhead"
    return torch.compile(fn, **kw)


# ---------------------------------------------------------------- text
def caption_lengths(n, mean=18.0, seed=0):
    """Log-normal caption lengths incl. SOT and EOT, 5..77, mean 18 (the project's assumption)."""
    g = torch.Generator().manual_seed(seed)
    z, lo, hi = torch.randn(n, generator=g), 0.0, 6.0
    for _ in range(40):
        mu = (lo + hi) / 2
        if (mu + 0.45 * z).exp().round().clamp(5, 77).mean() < mean: lo = mu
        else: hi = mu
    return (mu + 0.45 * z).exp().round().clamp(5, 77).long()


def text_batch(mode, lengths, dev, groups=8, seed=0, quantum=1024, vocab=49408):
    """pad: [B,77]. bucket: sort by length, cut into `groups` equal-row micro-buckets, pad each to its maximum rounded up to a
    multiple of 8 (77 at most): rows are always B/groups and lengths one of 10 values, so torch.compile sees at most 10 static
    shapes, ever. packed: one stream of tokens for torch.nn.attention.varlen, padded with 14 dummy sequences to a multiple of
    1024 tokens (again few static shapes)."""
    B, g = len(lengths), torch.Generator().manual_seed(seed)
    seqs = [torch.cat([torch.tensor([vocab - 2]), torch.randint(1, vocab - 3, (int(l) - 2,), generator=g), torch.tensor([vocab - 1])]) for l in lengths]
    pad = nn.utils.rnn.pad_sequence(seqs, batch_first=True)
    if mode == "pad":
        return ("pad", F.pad(pad, (0, 77 - pad.shape[1])).to(dev))
    if mode == "bucket":
        while B % groups: groups -= 1
        order = torch.argsort(lengths, stable=True)
        parts = [pad[c, :min(77, -(-int(lengths[c].max()) // 8) * 8)] for c in order.chunk(groups)]
        parts = [F.pad(p, (0, min(77, -(-p.shape[1] // 8) * 8) - p.shape[1])).to(dev).contiguous() for p in parts]
        return ("bucket", parts, torch.argsort(order).to(dev))
    T = int(lengths.sum()); extra = -(T + 14) % quantum + 14
    dl = [extra // 14 + (i < extra % 14) for i in range(14)]
    alll = torch.cat([lengths, torch.tensor(dl)])
    cu = F.pad(alll.cumsum(0), (1, 0)).int()
    tok = torch.cat(seqs + [torch.ones(extra, dtype=torch.long)])
    pos = torch.cat([torch.arange(int(l)) for l in alll])
    return ("packed", tok.to(dev), pos.to(dev), cu.to(dev), (cu[1:B + 1] - 1).long().to(dev))


def text_tokens(tb): return sum(p.numel() for p in tb[1]) if tb[0] == "bucket" else tb[1].numel()


try:                                                             # causal is spelled differently in 2.10 and later
    from torch.nn.attention.varlen import varlen_attn
    VKW = dict(window_size=(-1, 0)) if "window_size" in inspect.signature(varlen_attn).parameters else dict(is_causal=True)
except ImportError: varlen_attn = None


def varlen_causal(q, k, v, cu):
    """[T,H,d] packed causal attention: FlashAttention-2 varlen through torch.nn.attention.varlen; a masked SDPA on the CPU."""
    if q.is_cuda: return varlen_attn(q, k, v, cu, cu, 77, 77, **VKW)
    seg = torch.bucketize(torch.arange(q.shape[0]), cu[1:].long(), right=True)
    m = (seg[:, None] == seg[None]).tril()
    return F.scaled_dot_product_attention(*(x.transpose(0, 1)[None] for x in (q, k, v)), attn_mask=m)[0].transpose(0, 1)


def attend(q, k, v, causal, math):
    """SDPA, or (math: faster on CPUs at these lengths) two batched GEMMs around a softmax that the compiler fuses. [B,H,S,d]"""
    if not math: return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    a = (q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -.5
    if causal: a = a + torch.full(a.shape[-2:], -torch.inf, device=a.device).triu(1)
    return a.softmax(-1).to(v.dtype) @ v


class TextBlock(nn.Module):
    def __init__(s, w, h):
        super().__init__()
        s.h, s.math, s.ln_1, s.ln_2 = h, False, nn.LayerNorm(w), nn.LayerNorm(w)
        s.in_proj, s.out_proj, s.c_fc, s.c_proj = nn.Linear(w, 3 * w), nn.Linear(w, w), nn.Linear(w, 4 * w), nn.Linear(4 * w, w)
        nn.init.normal_(s.in_proj.weight, std=w ** -.5); nn.init.zeros_(s.in_proj.bias); nn.init.zeros_(s.out_proj.bias)
        nn.init.normal_(s.c_fc.weight, std=(2 * w) ** -.5)
        for m in (s.out_proj, s.c_proj): nn.init.normal_(m.weight, std=w ** -.5 * 24 ** -.5)

    def forward(s, x, cu=None):
        q, k, v = s.in_proj(s.ln_1(x)).unflatten(-1, (3, s.h, -1)).unbind(-3)
        if cu is None:
            o = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), True, s.math).transpose(1, 2)
        else:
            o = varlen_causal(q, k, v, cu)
        x = x + s.out_proj(o.flatten(-2))
        return x + s.c_proj(F.gelu(s.c_fc(s.ln_2(x))))


class Text(nn.Module):
    """open_clip's TextTransformer (causal, exact GELU, EOT pooling); EOT rows are picked before ln_final, which is exact."""
    def __init__(s, c):
        super().__init__()
        w = c["tw"]
        s.token_embedding, s.positional_embedding = nn.Embedding(c.get("vocab", 49408), w), nn.Parameter(torch.randn(77, w) * .01)
        nn.init.normal_(s.token_embedding.weight, std=.02)
        s.blocks = nn.ModuleList(TextBlock(w, c["th"]) for _ in range(c["tl"]))
        s.ln_final, s.text_projection = nn.LayerNorm(w), nn.Parameter(torch.randn(w, c["E"]) * w ** -.5)

    def padded(s, t):
        x = s.token_embedding(t) + s.positional_embedding[:t.shape[1]]
        for b in s.blocks: x = b(x)
        return s.ln_final(x[torch.arange(t.shape[0], device=t.device), t.argmax(-1)]) @ s.text_projection

    def packed(s, t, pos, cu, eot):
        x = s.token_embedding(t) + F.embedding(pos, s.positional_embedding)
        for b in s.blocks: x = b(x, cu)
        return s.ln_final(x[eot]) @ s.text_projection


def run_text(padded, packed, tb):
    if tb[0] == "pad": return padded(tb[1])
    if tb[0] == "bucket": return torch.cat([padded(p) for p in tb[1]])[tb[2]]
    return packed(*tb[1:])


# ---------------------------------------------------------------- vision
class Tuned(nn.Module):
    """The same timm parameters and the same maths, arranged as a PyTorch expert would for torch.compile: only kept patches are
    embedded (patchify + gather + linear), one QKV and one gate/up GEMM (weights concatenated on the fly), RoPE without torch.cat
    of the class token, in half-split form (rows of Wq/Wk permuted per head: q.k is unchanged), the table gathered per token,
    the misaligned hidden width of L/14 (2730) and K of its patches (588) zero-padded to multiples of 8 (exact). prune=True
    (off by default) also runs the last block for the class token only, exact as well."""
    def __init__(s, m, drop, prune=False, table=None):
        super().__init__()
        s.m, s.drop, s.prune, s.H, s.math = m, drop, prune, m.blocks[0].attn.num_heads, False
        sin, cos = (m.rope.pos_embed if table is None else table).float().chunk(2, -1)
        one = lambda t, v: torch.cat([torch.full_like(t[:1, ::2], v), t[:, ::2]]).contiguous()
        s.register_buffer("cos", one(cos, 1.), persistent=False); s.register_buffer("sin", one(sin, 0.), persistent=False)

    def embed(s, img, idx=None):
        pe = s.m.patch_embed.proj; P = pe.kernel_size[0]; B, _, h, w = img.shape
        p = img.view(B, 3, h // P, P, w // P, P).permute(0, 2, 4, 1, 3, 5).reshape(B, -1, 3 * P * P)
        full = None
        if s.drop and s.training:
            N = p.shape[1]
            if idx is None: idx = torch.randn(B, N, device=img.device).argsort(-1)[:, :max(1, int(N * (1 - s.drop)))]
            p = p.gather(1, idx[..., None].expand(-1, -1, p.shape[-1]))
            full = F.pad(idx + 1, (1, 0))
        k = -p.shape[-1] % 8
        x = F.linear(F.pad(p, (0, k)), F.pad(pe.weight.flatten(1), (0, k)), pe.bias)
        x = torch.cat([s.m.cls_token.to(x.dtype).expand(B, -1, -1), x], 1)
        pos = s.m.pos_embed[0]
        x = x + (pos if full is None else F.embedding(full, pos))
        cos, sin = (s.cos, s.sin) if full is None else (s.cos[full], s.sin[full])
        return x, cos.unsqueeze(-2), sin.unsqueeze(-2)

    def weights(s, b):
        a, m = b.attn, b.mlp; p = -m.fc2.in_features % 64
        half = lambda t: t.view(s.H, -1, 2, *t.shape[1:]).transpose(1, 2).flatten(0, 2)   # (even, odd) rows -> halves, per head
        rows = lambda t: F.pad(t, (0, 0, 0, p)) if t.ndim == 2 else F.pad(t, (0, p))
        return (torch.cat([half(a.q_proj.weight), half(a.k_proj.weight), a.v_proj.weight]),
                torch.cat([half(a.q_proj.bias), torch.zeros_like(a.q_proj.bias), a.v_proj.bias]),
                torch.cat([rows(m.fc1_g.weight), rows(m.fc1_x.weight)]), torch.cat([rows(m.fc1_g.bias), rows(m.fc1_x.bias)]), F.pad(m.fc2.weight, (0, p)))

    @torch.no_grad()
    def freeze(s):
        """Inference: build the fused weights once (as buffers, so that CUDA graphs treat them as static)."""
        for b in s.m.blocks:
            for i, w in enumerate(s.weights(b)): b.register_buffer(f"fz{i}", w.contiguous(), persistent=False)
        return s

    def block(s, b, x, cos, sin, last=False):
        a, m, H, (B, S, W) = b.attn, b.mlp, s.H, x.shape
        wq, bq, wg, bg, wo = (b.fz0, b.fz1, b.fz2, b.fz3, b.fz4) if "fz0" in b._buffers else s.weights(b)
        q, k, v = F.linear(b.norm1(x), wq, bq).view(B, S, 3, H, -1).unbind(2)
        def rope(t):
            t1, t2 = t.chunk(2, -1)
            return torch.cat([t1 * cos - t2 * sin, t2 * cos + t1 * sin], -1).to(v.dtype).transpose(1, 2)
        q, k, v = rope(q), rope(k), v.transpose(1, 2)
        if last: q, x, S = q[:, :, :1], x[:, :1], 1
        o = attend(q, k, v, False, s.math or last)
        x = x + a.proj(a.norm(o.transpose(1, 2).reshape(B, S, W)))
        g, u = F.linear(b.norm2(x), wg, bg).chunk(2, -1)
        n = m.fc2.in_features; y = m.norm((F.silu(g) * u)[..., :n])
        return x + F.linear(F.pad(y, (0, wo.shape[1] - n)), wo, m.fc2.bias)

    def head(s, x): return s.m.head(s.m.norm(x[:, 0]))

    def forward(s, img, idx=None):
        x, cos, sin = s.embed(img, idx)
        for i, b in enumerate(s.m.blocks): x = s.block(b, x, cos, sin, s.prune and i == len(s.m.blocks) - 1)
        return s.head(x)


def vision(cfg, drop, **kw):
    import timm
    c = CFG[cfg]
    if c["timm"]: return timm.create_model(c["timm"], num_classes=c["E"], patch_drop_rate=drop, **kw)
    from timm.models.eva import Eva
    return Eva(img_size=c["img"], patch_size=c["P"], embed_dim=c["W"], depth=c["D"], num_heads=c["H"], qkv_fused=False, mlp_ratio=c["hid"] / c["W"],
               swiglu_mlp=True, scale_mlp=True, scale_attn_inner=True, use_rot_pos_emb=True, ref_feat_shape=(16, 16), global_pool="token",
               num_classes=c["E"], patch_drop_rate=drop, **kw)


class CLIP(nn.Module):
    def __init__(s, cfg, drop=.5, dev="cpu", dtype=torch.float32, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        with torch.device(dev):
            s.visual, s.text, s.logit_scale = vision(cfg, drop), Text(CFG[cfg]), nn.Parameter(torch.tensor(math.log(1 / .07)))
        if cfg in PARAMS:
            n = [sum(p.numel() for p in m.parameters()) for m in (s.visual, s.text)]
            assert tuple(n) == PARAMS[cfg], (cfg, n)
        s.drop, s.table = drop, s.visual.rope.pos_embed.float().clone()      # RoPE table kept in f32 for Tuned
        s.to(dtype)

    def build(s, impl="tuned", mode="eager", scope="model", prune=False):
        """(vision, padded text, packed text, loss) callables. scope=model: each tower is one compiled graph; scope=block: the blocks
        are compiled once and reused (far shorter compilation, a few fusions at block borders lost)."""
        vis = s.visual if impl == "stock" else Tuned(s.visual, s.drop, prune, s.table)
        vis.train(s.training)
        if mode == "eager": return vis, s.text.padded, s.text.packed, clip_loss
        if scope == "block":
            if impl == "stock":
                for b in s.visual.blocks: b.forward = compiled(b.forward, mode)
            else: vis.embed, vis.block, vis.head = compiled(vis.embed, mode), compiled(vis.block, mode), compiled(vis.head, mode)
            for b in s.text.blocks: b.forward = compiled(b.forward, mode)
            return vis, s.text.padded, s.text.packed, compiled(clip_loss, mode)
        return compiled(vis, mode), compiled(s.text.padded, mode), compiled(s.text.packed, mode), compiled(clip_loss, mode)


def clip_loss(i, t, log_scale):
    """open_clip ClipLoss on one GPU; one logits matrix serves both directions (open_clip multiplies twice: slower)."""
    i, t = F.normalize(i.float(), dim=-1), F.normalize(t.float(), dim=-1)
    d = log_scale.dtype                                             # bf16 weights: bf16 product, as autocast does by itself
    l = (log_scale.float().exp() * i).to(d) @ t.to(d).T
    y = torch.arange(len(l), device=l.device)
    return (F.cross_entropy(l.float(), y) + F.cross_entropy(l.T.float(), y)) / 2


def flops(cfg, S, lengths, causal=True):
    """Useful training FLOPs of a sample: exact tokens only (S vision tokens, text up to EOT); backward = 2x, patch embed 1x."""
    c = CFG[cfg]; W, w = c["W"], c["tw"]; L = lengths.float()
    pe = 2 * (S - 1) * 3 * c["P"] ** 2 * W
    vis = c["D"] * (S * 2 * (4 * W * W + 3 * W * c["hid"]) + 4 * S * S * W) + 2 * W * c["E"]
    att = 2 * L * (L + 1) * w if causal else 4 * L * L * w
    txt = (c["tl"] * (24 * L * w * w + att)).mean().item() + 2 * w * c["E"]
    return 2 * pe + 3 * (vis + txt)


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


# ---------------------------------------------------------------- the one table
FMT = {"attn": "{shape} {name}", "train": "{model} {impl} {prec} {mode}/{scope} {text} {sdpa} {opt} B={B}{batch}", "optim": "{model} {name}", "loss": "B={B} {dtype} {name}",
       "layers": "{name} {impl} {mode}", "embed": "{model} {name} {impl} {mode} B={B}", "cpu": "{model} {name}", "check": "{name} {ok} {info}"}
COL = [("ms", "ms", "latency_ms"), ("ms bwd", "ms_bwd", "ms_alone"), ("TF|GB/s", "tflops", "gbps"), ("bwd", "tflops_bwd", "gbps_bwd"), ("samples/s", "samples_per_s", "samples_per_s"), ("peak GB", "peak_gb", "peak_gb")]


def table(files):
    import collections
    rows = [json.loads(x) for f in files for x in open(f) if x.startswith("{")]
    print(f"{'part':6} {'case':60}" + "".join(f"{c[0]:>10}" for c in COL))
    for r in dict.fromkeys(json.dumps(r) for r in rows):
        r = json.loads(r); p = r.get("part")
        if p not in FMT: continue
        case = " ".join(FMT[p].format_map(collections.defaultdict(str, r)).split())
        val = lambda c: f"{v:>10.4g}" if (v := r.get(c[1], r.get(c[2]))) else f"{'-':>10}"
        print(f"{p:6} {case[:60]:60}" + (" " + r["error"][:58] if "error" in r else "".join(map(val, COL))))


if __name__ == "__main__": table(sys.argv[1:])
