"""The cases: what a row may hold, whether it can be scored, how its vector has drifted. Arrow and NumPy only."""
