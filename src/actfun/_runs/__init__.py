"""Long runs: jobs, in this process or in others; results on disk before anyone is told; facts of the machine."""
