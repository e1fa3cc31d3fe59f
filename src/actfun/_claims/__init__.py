"""What the overview article says, run: 51 claims with verdicts."""
