"""The models: timm's EVA-02 tower, the same parameters arranged for torch.compile, a CLIP text tower, text batches and the loss."""
from measure import *

CFG = {  # vision: timm name, width, depth, heads, hidden, image, patch; text: width, heads, layers; joint width
    "B16": dict(timm="eva02_base_patch16_clip_224", W=768, D=12, H=12, hid=2048, img=224, P=16, tw=512, th=8, tl=12, E=512),
    "L14": dict(timm="eva02_large_patch14_clip_224", W=1024, D=24, H=16, hid=2730, img=224, P=14, tw=768, th=12, tl=12, E=768),
    "tiny": dict(timm=None, W=128, D=4, H=2, hid=341, img=48, P=8, tw=128, th=2, tl=2, E=128),
    "demo": dict(timm=None, W=128, D=4, H=2, hid=344, img=48, P=8, tw=128, th=2, tl=2, E=128, vocab=4096)}
PARAMS = {"B16": (86263040, 63428096), "L14": (304105152, 123650304)}  # published: vision, text (+ 1 logit_scale)



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
    (off by default) also runs the last block for the class token only, also exact."""
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
