"""Image and text embedding: throughput (large batch, bf16 weights; between events, and by the clock with the upload of the pixels as bytes)
and batch-1 latency (wall clock of one call, with upload and synchronization)."""
from optimizers import *
from towers import *
from gpu_train_step import normalized


def latency(f, dev, n):
    ts = []
    for i in range(n + 10):
        t = time.perf_counter(); f()
        if dev == "cuda": torch.cuda.synchronize()
        ts.append((time.perf_counter() - t) * 1e3)
    return statistics.median(ts[10:])


if __name__ == "__main__":
    a = args(__doc__, models="B16,L14", modes="eager,compile,ro", impls="stock,tuned", parts="latency,image,text", batch=1024, iters=20, sdpa="auto")
    dev, dt = a.device, torch.bfloat16
    set_sdpa(a.sdpa, dev)
    def mark(mode):
        if mode == "ro": torch.compiler.cudagraph_mark_step_begin()
    for cfg in ["tiny"] if a.smoke else a.models.split(","):
        m = CLIP(cfg, 0., dev, dt).eval(); c = CFG[cfg]; S = (c["img"] // c["P"]) ** 2 + 1; B = 4 if a.smoke else a.batch
        fi, ft = flops(cfg, S, torch.zeros(1)) / 3, lambda L: (flops(cfg, 1, L) - flops(cfg, 1, torch.zeros(1))) / 3
        for part in a.parts.split(","):
            for impl in a.impls.split(",") if part != "text" else ["-"]:
                for mode in a.modes.split(","):
                    if part != "latency" and mode == "ro": continue                 # launches hide at large batch
                    if part == "text" and cfg == "L14": continue
                    def case():
                        torch._dynamo.reset(); M = "compile" if a.smoke and mode == "ro" else mode
                        if part == "text":
                            L = caption_lengths(2 * B)
                            for tm in ("pad", "bucket", "packed"):
                                _, pad, pk, _ = m.build("stock", mode, "block"); tb = text_batch(tm, L, dev, groups=16)
                                ms = bench(lambda: run_text(pad, pk, tb), dev, 2 if a.smoke else a.iters, 3, cold=False)
                                emit(a, part="embed", name=f"text {tm}", model=cfg, mode=mode, B=2 * B, ms=ms, samples_per_s=2e3 * B / ms, tflops=2 * B * ft(L) / ms / 1e9)
                                for b in m.text.blocks: b.__dict__.pop("forward", None)
                            return
                        n = 1 if part == "latency" else B; x = torch.randn(n, 3, c["img"], c["img"], device=dev, dtype=dt)
                        v = m.build(impl, M, "block")[0] if part == "image" else m.visual if impl == "stock" else Tuned(m.visual, 0., table=m.table).eval()
                        if impl == "tuned": v.freeze()
                        f = v if part == "image" else compiled(v, M)                # image: blocks compiled; latency: one graph
                        u8 = torch.randint(0, 256, (n, c["img"], c["img"], 3), dtype=torch.uint8); u8 = u8.pin_memory() if dev == "cuda" else u8
                        def call(): mark(M); return f(x)
                        def upload(): mark(M); return f(normalized(u8.to(dev, non_blocking=True), dt)).float().cpu()
                        for _ in range(3): call()
                        if part == "latency": emit(a, part="embed", name="image latency", model=cfg, impl=impl, mode=mode, B=1, latency_ms=latency(upload, dev, 5 if a.smoke else 100))
                        else:
                            it = 2 if a.smoke else a.iters; ms, ms_call = bench(call, dev, it, 3, cold=False), latency(upload, dev, it)
                            emit(a, part="embed", name="image", model=cfg, impl=impl, mode=mode, B=n, ms=ms, ms_call=ms_call, samples_per_s=1e3 * n / ms, samples_per_s_call=1e3 * n / ms_call, tflops=n * fi / ms / 1e9)
                    with torch.no_grad(): guard(a, case, part="embed", name=part, model=cfg, impl=impl, mode=mode)
                    for b in m.visual.blocks:
                        b.__dict__.pop("forward", None)
                        for i in range(5): b._buffers.pop(f"fz{i}", None)
        if "latency" in a.parts and not a.smoke and left(a) > 0:
            tb = text_batch("pad", caption_lengths(1), dev)
            for mode in a.modes.split(","):
                def case():
                    torch._dynamo.reset(); f = compiled(m.text.padded, mode)
                    def call(): mark(mode); return f(tb[1])
                    for _ in range(3): call()
                    emit(a, part="embed", name="text latency (77)", model=cfg, mode=mode, B=1, latency_ms=latency(call, dev, 100))
                with torch.no_grad(): guard(a, case, part="embed", name="text batch 1", model=cfg, mode=mode)
        del m; clean()
