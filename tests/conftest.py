"""Kernels that tests compile are kept with pytest's own cache, not in the user's."""

import os
from pathlib import Path

os.environ.setdefault("ACTFUN_CACHE", str(Path(__file__).parent.parent / ".pytest_cache" / "kernels"))
