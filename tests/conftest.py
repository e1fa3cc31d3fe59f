"""What tests compile is kept with pytest's own cache, not in the user's."""

import os
from pathlib import Path

KEPT = Path(__file__).parent.parent / ".pytest_cache"
# PyTorch's own cache does not ask which vectors the code in it is for, so each kind of processor has its folder.
VECTORS = os.environ.get("ATEN_CPU_CAPABILITY", "usual")

os.environ.setdefault("ACTFUN_CACHE", str(KEPT / "kernels"))
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(KEPT / f"inductor-{VECTORS}"))
# Two processes test at once, each with as many threads as there are cores. Those that wait shall not spin meanwhile:
# on two cores that took 3.7 times the time. OpenMP reads it when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
