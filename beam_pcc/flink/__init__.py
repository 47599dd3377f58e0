"""Runs on Flink: submits a job to a cluster, or writes the job jar of a FlinkDeployment."""
