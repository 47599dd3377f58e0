"""How good a model is: metrics, labelled rows, comparison of two versions, gates of a promotion."""
