"""Vectors of messages: 384 numbers of a sentence encoder and 200 of TF-IDF."""
