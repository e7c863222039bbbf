"""Each module turns the raw objects of one kind of workload into an Observation. Nothing is decided here."""
