"""The names that a model file may use. The lists contain exact pairs of module and name, no prefixes or exclusions.

They were recorded by tracing trained models of every kind in `CLASSIFIERS` under the locked scikit-learn versions
(1.7 on Python 3.10, 1.9 from Python 3.11). To allow another estimator, trace one, and read the source of each
new name: is it still harmless with arguments and attributes that an attacker chose?
"""

from __future__ import annotations

Name = tuple[str, str]


class RefusedError(ValueError):
    """Why a model file is refused, as the end of a sentence about the file, and the remedy."""

    def __init__(self, reason: str, remedy: str = "use a model that you trust, of a kind in docs/security.md") -> None:
        super().__init__(reason)
        self.remedy = remedy


CLASSIFIERS: frozenset[Name] = frozenset(
    {
        ("sklearn.calibration", "CalibratedClassifierCV"),
        ("sklearn.ensemble._forest", "RandomForestClassifier"),
        ("sklearn.ensemble._hist_gradient_boosting.gradient_boosting", "HistGradientBoostingClassifier"),
        ("sklearn.linear_model._logistic", "LogisticRegression"),
        ("sklearn.linear_model._stochastic_gradient", "SGDClassifier"),
        ("sklearn.neural_network._multilayer_perceptron", "MLPClassifier"),
        ("sklearn.pipeline", "Pipeline"),
    }
)
"""The allowed classes of a model."""

# Plain Python objects: created without calling the constructor, then assigned a dict of checked attributes. No class
# acts on its attributes, except that IsotonicRegression builds its interpolation from two arrays and TreePredictor
# converts the dtype of one.
OBJECTS: frozenset[Name] = CLASSIFIERS | {
    ("sklearn._loss.link", "Interval"),
    ("sklearn._loss.link", "LogitLink"),
    ("sklearn._loss.link", "MultinomialLogit"),
    ("sklearn._loss.loss", "HalfBinomialLoss"),
    ("sklearn._loss.loss", "HalfMultinomialLoss"),
    ("sklearn.calibration", "_CalibratedClassifier"),
    ("sklearn.calibration", "_SigmoidCalibration"),
    ("sklearn.calibration", "_TemperatureScaling"),
    ("sklearn.ensemble._hist_gradient_boosting.binning", "_BinMapper"),
    ("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor"),
    ("sklearn.frozen._frozen", "FrozenEstimator"),
    ("sklearn.isotonic", "IsotonicRegression"),
    ("sklearn.neural_network._stochastic_optimizers", "AdamOptimizer"),
    ("sklearn.neural_network._stochastic_optimizers", "SGDOptimizer"),
    ("sklearn.preprocessing._data", "StandardScaler"),
    ("sklearn.preprocessing._label", "LabelBinarizer"),
    ("sklearn.preprocessing._label", "LabelEncoder"),
    ("sklearn.svm._classes", "LinearSVC"),
    ("sklearn.tree._classes", "DecisionTreeClassifier"),
}

# Cython, and memory-unsafe with hostile nodes: the reason for `trees`.
TREE: Name = ("sklearn.tree._tree", "Tree")

# Cython objects of at most one float, left over from training. Scoring does not call them.
LOSSES: frozenset[Name] = frozenset(
    {
        ("sklearn._loss._loss", "CyHalfBinomialLoss"),
        ("sklearn._loss._loss", "CyHalfMultinomialLoss"),
        ("sklearn.linear_model._sgd_fast", "Hinge"),
        ("sklearn.linear_model._sgd_fast", "ModifiedHuber"),
        ("sklearn.linear_model._sgd_fast", "SquaredHinge"),
    }
)

# Random generators, left over from training: numbers only. Scoring does not draw from them.
RANDOM: frozenset[Name] = frozenset(
    {
        ("numpy.random._generator", "Generator"),
        ("numpy.random._mt19937", "MT19937"),
        ("numpy.random._pcg64", "PCG64"),
        ("numpy.random.bit_generator", "SeedSequence"),
        ("numpy.random.mtrand", "RandomState"),
    }
)

# What a pickle may call, each with arguments that `calls` checks: by its name alone, none is harmless.
PICKLE_CALLS: frozenset[Name] = frozenset(
    {
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy.random._pickle", "__bit_generator_ctor"),
        ("numpy.random._pickle", "__generator_ctor"),
        ("numpy.random._pickle", "__randomstate_ctor"),
        ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
        ("sklearn._loss._loss", "CyHalfBinomialLoss"),
        ("sklearn._loss._loss", "__pyx_unpickle_CyHalfMultinomialLoss"),
        ("sklearn.linear_model._sgd_fast", "Hinge"),
        ("sklearn.linear_model._sgd_fast", "ModifiedHuber"),
        ("sklearn.linear_model._sgd_fast", "SquaredHinge"),
        TREE,
    }
)

# joblib's record of an array, whose bytes follow. `pickles` reads them itself, and runs no code of joblib.
ARRAY_RECORD: Name = ("joblib.numpy_pickle", "NumpyArrayWrapper")

# The class numpy.ndarray occurs only as an argument of a call, or in an array record.
PICKLE_NAMES: frozenset[Name] = OBJECTS | LOSSES | RANDOM | PICKLE_CALLS | {ARRAY_RECORD, ("numpy", "ndarray")}

# Loader, module and name of a skops node. Other loaders could call what a node names.
SKOPS_NODES: frozenset[tuple[str, str, str]] = frozenset(
    {
        ("DictNode", "builtins", "dict"),
        ("ListNode", "builtins", "list"),
        ("TupleNode", "builtins", "tuple"),
        ("JsonNode", "builtins", "str"),
        *(("TypeNode", "builtins", name) for name in ("str", "int", "float")),  # of the keys of a dict
        *(("NdArrayNode", "numpy", f"{kind}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
        *(("NdArrayNode", "numpy", name) for name in ("ndarray", "bool", "float32", "float64", "str_")),
        ("RandomStateNode", "numpy.random.mtrand", "RandomState"),
        ("RandomGeneratorNode", "numpy.random._generator", "Generator"),
        ("TreeNode", *TREE),
        *(("LossNode", *name) for name in LOSSES),
        *(("ObjectNode", *name) for name in OBJECTS),
    }
)


def canonical(module: str, name: str) -> Name:
    """The name in the lists: scikit-learn 1.7 names its module sklearn._loss._loss just "_loss".

    The module "_loss" is never imported, since that could be any file on the path.
    """
    return ("sklearn._loss._loss" if module == "_loss" else module), name
