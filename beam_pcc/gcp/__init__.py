"""Names of datasets and tables, and clients of Google's services. The clients need the gcp extra."""
