"""What users call for the commands: `af.compare`, `af.claims`, `af.accuracy`, `af.bench`, `af.show`."""
