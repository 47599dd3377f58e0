"""What cases turned out to be: labels that came later, the samples that people label, and what follows from them."""
