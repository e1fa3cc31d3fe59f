"""What tests compile is kept with pytest's own cache, not in the user's."""

import os
from pathlib import Path

KEPT = Path(__file__).parent.parent / ".pytest_cache"
# PyTorch's own cache does not ask which vectors the code in it is for, so each kind of processor has its folder.
VECTORS = os.environ.get("ATEN_CPU_CAPABILITY", "usual")

os.environ.setdefault("ACTFUN_CACHE", str(KEPT / "kernels"))
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(KEPT / f"inductor-{VECTORS}"))
