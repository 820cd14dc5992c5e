"""Shared by all PyTorch peers: the command line, JSON lines and timing."""
import os
os.environ.setdefault("TORCH_CUDNN_SDPA_AVOID_RECOMPILE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
import argparse, gc, inspect, json, math, statistics, sys, time, types, warnings
# torchvision registers shapes of its compiled operators here, which fails with a PyTorch that it was not built for; no peer uses them.
sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
import torch, torch.nn as nn, torch.nn.functional as F
warnings.filterwarnings("ignore")
T0 = time.perf_counter()


# ---------------------------------------------------------------- command line, output, timing
def args(desc, **extra):
    ap = argparse.ArgumentParser(description=desc)
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cuda", "cpu"])
    ap.add_argument("--smoke", action="store_true", help="tiny shapes, to test the program on a CPU")
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
