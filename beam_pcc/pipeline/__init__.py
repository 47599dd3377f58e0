"""The Beam graph of a run: the one room that knows sources, models and publishing."""
