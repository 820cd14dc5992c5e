"""The PyTorch side of benchmarks/train_step.ts: the same CLIP training step, forward, backward and optimizer, in several forms.

Prepares the forms named on the command line and prints {"ready": [...]}. Then, for each line on standard input that names a form, takes
one step and prints {"seconds": ...}: the benchmark alternates it with eva-clip, so that other load on the machine affects both alike.

With matmul "medium" PyTorch sends f32 products to oneDNN instead of MKL, which on AMD can be much faster. On processors with AMX that is
f32 only under ONEDNN_MAX_CPU_ISA=AVX512_CORE, so every f32 form first checks the error of a product. The script starts itself again with malloc settings that stop the page faults of big activations."""
import copy
from optimizers import *
from towers import *

ENV = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "268435456", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
# form: implementation, mode, precision, f32 matmul setting, attention
FORMS = {
    "f32 eager": ("stock", "eager", "f32", "highest", "flash"),
    "f32 eager, oneDNN": ("tuned", "eager", "f32", "medium", "flash"),
    "f32 compiled": ("tuned", "compile", "f32", "highest", "math"),
    "f32 compiled, oneDNN": ("tuned", "compile", "f32", "medium", "math"),
    "bf16 autocast eager": ("stock", "eager", "autocast", "medium", "flash"),
    "bf16 weights compiled": ("tuned", "compile", "bf16", "medium", "math"),
}
SHARED = {}


def expect_f32(name, setting):
    torch.set_float32_matmul_precision(setting)
    x = torch.randn(512, 512, generator=torch.Generator().manual_seed(0))
    error = ((x @ x).double() - x.double() @ x.double()).abs().max().item() / 512 ** .5
    if error > 1e-4: raise SystemExit(f"{name} does not multiply in f32: relative error {error:.1e}")


def form(a, lengths, images=None):
    """A training step in the form `a.form`. images() returns a new batch for each step; without it one random batch is reused."""
    impl, mode, prec, mm, attn = FORMS[a.form]
    if prec == "f32": expect_f32(a.form, mm)
    dt, c = torch.bfloat16 if prec == "bf16" else torch.float32, CFG[a.model]
    if dt not in SHARED:
        m0 = CLIP(a.model, .5, "cpu", dt).train()
        SHARED[dt] = (m0, make_opt(a.optimizer, m0.named_parameters()))
    m0, o = SHARED[dt]
    m = copy.deepcopy(m0, {id(p): p for p in m0.parameters()})          # own modules, shared parameters and optimizer state
    tb = text_batch("bucket", lengths, "cpu", groups=4, vocab=c.get("vocab", 49408))
    vis, pad, pk, loss = m.build(impl, mode, "block")
    if attn == "math":
        vis.math = True
        for b in m.text.blocks: b.math = True
    if images is None:
        img = torch.randn(len(lengths), 3, c["img"], c["img"], generator=torch.Generator().manual_seed(0))
        images = lambda: img
    ls = o.master(m.logit_scale)

    def step():
        torch.set_float32_matmul_precision(mm)
        t = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=prec == "autocast"):
            l = loss(vis(images().to(dt)), run_text(pad, pk, tb), m.logit_scale)
        l.backward()
        if a.optimizer != "flat": torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        o.step()
        for p in m.parameters(): p.grad = None
        with torch.no_grad(): ls.clamp_(0, math.log(100))
        l.item()
        return time.perf_counter() - t
    return step


def serve(doc, images=None, **extra):
    """Prepares the forms of the command line, then for each line of standard input runs one step of the form it names and prints its seconds."""
    a = args(doc, model="B16", lengths="", forms="f32 eager", threads=2, optimizer="flat", **extra)
    if "MALLOC_MMAP_MAX_" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ENV})
    torch.set_num_threads(a.threads)
    lengths, steps = torch.tensor([int(n) for n in a.lengths.split(",")]), {}
    for name in a.forms.split(";"):
        a.form = name
        steps[name] = form(a, lengths, images(a, len(lengths)) if images else None)
        for _ in range(2): steps[name]()
    print(json.dumps(dict(ready=list(steps), torch=torch.__version__, threads=a.threads)), flush=True)
    for line in sys.stdin:
        print(json.dumps(dict(seconds=steps[line.strip()]())), flush=True)


if __name__ == "__main__": serve(__doc__)
