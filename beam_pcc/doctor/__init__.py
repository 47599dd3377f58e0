"""`beam-pcc doctor`: whether a run could start with these settings, part by part. Runs nothing."""
