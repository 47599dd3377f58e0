"""Runs on Flink: submitting to a cluster, and one FlinkDeployment per run on Kubernetes."""
