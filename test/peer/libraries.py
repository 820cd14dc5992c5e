"""The libraries whose checkpoints are tested."""
import os
import sys
import types
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
warnings.filterwarnings("ignore")

# torchvision registers its compiled operators when imported, which fails if they do not match torch. No model here uses
# one, so their registration is skipped.
sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")

import ftfy  # noqa: E402, F401
import huggingface_hub  # noqa: E402
import open_clip  # noqa: E402
import safetensors.torch  # noqa: E402
import timm  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

VERSIONS = {library.__name__: library.__version__ for library in (torch, open_clip, timm, transformers)}

torch.backends.nnpack.set_flags(False)  # it warns on processors that it does not know
torch.set_num_threads(2)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
