"""Privacy Case Classifier: one Apache Beam graph that scores support cases as PC (privacy case) or NOT_PC."""

__version__ = "0.1.0"
