"""What a run is told: its settings from flags and environment, its partition, its id."""
