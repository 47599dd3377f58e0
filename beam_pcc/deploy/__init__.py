"""Implements `beam-pcc deploy`: deploys to EKS by calling aws, kubectl, helm, docker and gcloud.

Needs PyYAML only, so that a small environment is enough.
"""
