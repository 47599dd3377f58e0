"""Deployment to EKS: what `beam-pcc deploy` does, by calling aws, kubectl, helm, docker and gcloud.

It needs PyYAML and nothing else of what a run needs, so that a small environment is enough to deploy from.
"""
