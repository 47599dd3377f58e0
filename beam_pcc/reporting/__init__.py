"""What people read: the report, its charts, a run's summary, a model card."""
