"""Configuration of runs: settings from flags, environment and files, partitions, run ids."""
