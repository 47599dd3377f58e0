"""Models: the registry (`registry`), safe loading (`artifact`), scoring in Beam (`handler`)."""
