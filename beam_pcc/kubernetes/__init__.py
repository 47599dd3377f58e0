"""Runs on Kubernetes: what is going to run, the FlinkDeployment of it, and its outcome."""
