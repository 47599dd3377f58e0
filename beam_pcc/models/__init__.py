"""The model registry: which version (`registry`), its bytes made safe (`artifact`), its use in Beam (`handler`)."""
