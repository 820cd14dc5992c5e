"""The PyTorch side of benchmarks/demo_training.ts: the steps of train_step.py with the demo's image pipeline: drawings are sampled,
premultiplied, transformed, recolored, composited on a background and normalized. Captions are already tokenized."""
from train_step import *

MEAN, STD = torch.tensor([.48145466, .4578275, .40821073]).view(1, 3, 1, 1), torch.tensor([.26862954, .26130258, .27577711]).view(1, 3, 1, 1)


def augmented(a, n):
    """A function that returns the next batch, [n, 3, S, S]. The drawings are random: only their number and size affect the time."""
    drawings, s, S = torch.randint(0, 256, (a.drawings, 64, 64, 4), dtype=torch.uint8), a.augment, CFG[a.model]["img"]
    r = lambda *shape: torch.rand(*shape) * 2 - 1

    def images():
        x = drawings[torch.randint(a.drawings, (n,))].permute(0, 3, 1, 2).float().div_(255)
        alpha = x[:, 3:]
        x = torch.cat([x[:, :3] * alpha, alpha], 1)
        angle, zoom = r(n) * math.radians(15) * s, 1 / (1 + (torch.rand(n) * .45 - .3) * s)
        sx, sy = zoom * (1 + r(n) * .12 * s), zoom / (1 + r(n) * .12 * s)
        t = torch.stack([angle.cos() * sx, -angle.sin() * sx, r(n) * .14 * s, angle.sin() * sy, angle.cos() * sy, r(n) * .14 * s], 1)
        x = F.grid_sample(x, F.affine_grid(t.view(n, 2, 3), (n, 4, S, S), align_corners=False), align_corners=False)
        rgb, alpha = x[:, :3], x[:, 3:]
        rgb = rgb * (1 + r(n, 3, 1, 1) * .15 * s) * (1 + r(n, 1, 1, 1) * .2 * s)
        gray = (torch.rand(n, 1, 1, 1) < .12 * s).float()
        rgb = rgb * (1 - gray) + rgb.mean(1, keepdim=True) * gray
        back = torch.where(torch.rand(n, 1, 1, 1) < .1, torch.rand(n, 3, 1, 1), MEAN)
        return ((rgb + back * (1 - alpha)).clamp_(0, 1) - MEAN) / STD
    return images


if __name__ == "__main__": serve(__doc__, augmented, drawings=7500, augment=.5)
