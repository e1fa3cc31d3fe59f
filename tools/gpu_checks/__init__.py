"""What `tools/gpu_check.py` consists of: the run itself, correctness, speed and memory, the page."""
