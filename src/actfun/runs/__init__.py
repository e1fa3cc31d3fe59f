"""Long runs: work in processes, results on disk before anyone is told, facts of the machine."""
