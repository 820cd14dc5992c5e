"""Attention forward and backward at CLIP shapes, bf16, q/k/v as views of a packed QKV product. Useful FLOPs: 4 S^2 d forward, 10 S^2 d
backward (S(S+1)/2 if causal). Per shape: each SDPA backend; the best of them with RoPE (timm's code eager, the same compiled, and the
half-split form compiled); flex_attention compiled; FlashAttention-4 if the package flash-attn-cute is installed; and packed text."""
from optimizers import *
from towers import *
import torch._functorch.config as fc
fc.donated_buffer = False                                        # backward is timed alone, by replaying it on a retained graph

SH = [("B16 drop", 99, 12, 64, 1024, False), ("L14 drop", 129, 16, 64, 768, False), ("B16", 197, 12, 64, 512, False), ("L14", 257, 16, 64, 384, False),
      ("L14@336", 577, 16, 64, 160, False), ("g14", 257, 16, 88, 384, False), ("E14", 257, 16, 112, 384, False), ("text", 77, 8, 64, 1024, True)]


def timm_rope(q, k, v, emb):
    from timm.layers import apply_rot_embed_cat as f
    return (torch.cat([x[:, :, :1], f(x[:, :, 1:], emb)], 2).type_as(v) for x in (q, k))


def half_rope(q, k, v, emb):
    c, s = emb                                                   # [B or 1, 1, S, d/2]; class row: cos 1, sin 0
    for x in (q, k):
        a, b = x.chunk(2, -1)
        yield torch.cat([a * c - b * s, b * c + a * s], -1).to(v.dtype)


def time_case(a, name, shape, fn, qkv, do, fl, **kw):
    """fn() -> output. Emits forward and backward times."""
    def go():
        ms = bench(fn, a.device, *IT, **kw)
        o = fn(); bw = (lambda: torch.autograd.grad(o, qkv, do, retain_graph=True))
        mb = bench(bw, a.device, *IT, **kw)
        emit(a, part="attn", name=name, shape=shape, ms=ms, ms_bwd=mb, tflops=fl / ms / 1e9, tflops_bwd=2.5 * fl / mb / 1e9)
        return ms + mb
    return guard(a, go, part="attn", name=name, shape=shape)


if __name__ == "__main__":
    a = args(__doc__, cases="", parts="sdpa,varlen,rope,flex", flex_cases="B16 drop,L14,text", warm_l2=dict(action="store_true"), iters=40)
    IT, dev, dt = ((2, 1) if a.smoke else (a.iters, 8)), a.device, torch.bfloat16
    kw = dict(cold=not a.warm_l2)
    sdpa = lambda q, k, v, causal: F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    state = {}

    def data(S, H, d, B):
        torch.manual_seed(0)
        qkv = torch.randn(B, S, 3, H, d, device=dev, dtype=dt).requires_grad_()
        return tuple(x.transpose(1, 2) for x in qkv.unbind(2)), torch.randn(B, S, H, d, device=dev, dtype=dt).transpose(1, 2)

    try: from flash_attn.cute import flash_attn_func as flash_4
    except ImportError: flash_4 = None                           # sm_90 and sm_100; not part of PyTorch

    shapes = [s if not a.smoke else (s[0], 9, 2, s[3], 2, s[5]) for s in SH if not a.cases or s[0] in a.cases.split(",")]
    for what in [p for p in ("sdpa", "varlen", "rope", "flex") if p in a.parts]:
        if what == "varlen":                                     # packed text, mean 18 tokens, 8 heads
            Lg = caption_lengths(16 if a.smoke else 2048); H, d = 8, 64; cu = F.pad(Lg.cumsum(0), (1, 0)).int().to(dev); T = int(Lg.sum()); shape = f"packed: B{len(Lg)} T{T} H8"
            fl = (Lg * (Lg + 1) / 2).sum().item() * 4 * d * H
            x = torch.randn(T, 3, H, d, device=dev, dtype=dt).requires_grad_(); q, k, v = x.unbind(1); do = torch.randn(T, H, d, device=dev, dtype=dt)
            time_case(a, "varlen_attn (FA2)" if dev == "cuda" else "masked sdpa (CPU stand-in)", shape, lambda: varlen_causal(q, k, v, cu), (q, k, v), do, fl, **kw)
            qc = [t.detach().contiguous().requires_grad_() for t in (q, k, v)]
            def nested():
                set_sdpa("flash", dev); n = lambda t: torch.nested.nested_tensor_from_jagged(t, cu.long(), min_seqlen=5, max_seqlen=77).transpose(1, 2)
                return F.scaled_dot_product_attention(*map(n, qc), is_causal=True).transpose(1, 2).values()
            time_case(a, "nested jagged sdpa", shape, nested, qc, do, fl, **kw, lead=4_000_000)
            if dev == "cuda":
                def doc():
                    from torch.nn.attention.flex_attention import flex_attention, create_block_mask
                    seg = torch.repeat_interleave(torch.arange(len(Lg)), Lg).to(dev)
                    bm = create_block_mask(lambda b, h, i, j: (seg[i] == seg[j]) & (i >= j), None, None, T, T, device=dev); f = torch.compile(flex_attention, dynamic=False)
                    z = [t.transpose(0, 1)[None] for t in (q, k, v)]
                    return time_case(a, "flex document mask, compiled", shape, lambda: f(*z, block_mask=bm), z, do.transpose(0, 1)[None], fl, **kw)
                guard(a, doc, part="attn", name="flex document mask", shape=shape)
            tb = text_batch("bucket", Lg, dev, groups=16)        # what bucketing costs with plain SDPA: 16 calls
            zs = [data(p.shape[1], 8, 64, p.shape[0]) for p in tb[1]]
            def buck(): return [sdpa(*z, True) for z, _ in zs]
            for be in ("flash", "cudnn") if dev == "cuda" else ("cpu",):
                def go():
                    set_sdpa(be, dev); ms = bench(buck, dev, *IT, **kw, lead=2_000_000); o = buck(); ins = [t for z, _ in zs for t in z]; dos = [g for _, g in zs]
                    mb = bench(lambda: torch.autograd.grad(o, ins, dos, retain_graph=True), dev, *IT, **kw, lead=4_000_000)
                    emit(a, part="attn", name=f"bucketed sdpa {be}", shape=shape, ms=ms, ms_bwd=mb, tflops=fl / ms / 1e9, tflops_bwd=2.5 * fl / mb / 1e9)
                guard(a, go, part="attn", name=f"bucketed sdpa {be}", shape=shape)
            continue
        for name, S, H, d, B, causal in shapes:
            if what == "flex" and name not in a.flex_cases.split(","): continue
            if what == "rope" and (causal or d != 64): continue
            if left(a) <= 0: break
            torch._dynamo.reset(); clean()
            qkv, do = data(S, H, d, B); shape = f"{name}: S{S} H{H} d{d} B{B}"; fl = 4 * (S * (S + 1) / 2 if causal else S * S) * d * H * B
            if what == "sdpa":
                for be in ("cudnn", "flash", "efficient") if dev == "cuda" else ("cpu",):
                    set_sdpa(be, dev); r = time_case(a, f"sdpa {be}", shape, lambda: sdpa(*qkv, causal), qkv, do, fl, **kw)
                    if isinstance(r, float) and r < state.get(name, (9e9,))[0]: state[name] = (r, be)
                if flash_4:
                    def fa4():
                        o = flash_4(*(t.transpose(1, 2) for t in qkv), causal=causal)     # [B, S, H, d]
                        return (o[0] if isinstance(o, tuple) else o).transpose(1, 2)
                    time_case(a, "flash-attention 4", shape, fa4, qkv, do, fl, **kw)
            if what == "rope":
                set_sdpa(state.get(name, (0, "flash"))[1], dev); n = S - 1; drop = S in (99, 129) or a.smoke
                t = torch.randn(n, 2 * d, device=dev, dtype=dt); emb = t.expand(B, n, 2 * d).contiguous().unsqueeze(1) if drop else t
                tab = [torch.randn(B if drop else 1, 1, S, d // 2, device=dev) for _ in range(2)]
                def f_timm(q, k, v): return sdpa(*timm_rope(q, k, v, emb), v, False)
                def f_half(q, k, v): return sdpa(*half_rope(q, k, v, tab), v, False)
                for nm, f in (("rope timm eager", f_timm), ("rope timm compiled", torch.compile(f_timm, dynamic=False)), ("rope half-split compiled", torch.compile(f_half, dynamic=False))):
                    time_case(a, f"{nm} + {state.get(name, (0, 'flash'))[1]}", shape, lambda: f(*qkv), qkv, do, fl, **kw)
            if what == "flex":
                def flex():
                    from torch.nn.attention.flex_attention import flex_attention, create_block_mask
                    bm = create_block_mask(lambda b, h, i, j: i >= j, None, None, S, S, device=dev) if causal else None; f = torch.compile(flex_attention, dynamic=False)
                    return time_case(a, "flex_attention compiled", shape, lambda: f(*qkv, block_mask=bm), qkv, do, fl, **kw)
                guard(a, flex, part="attn", name="flex", shape=shape)
