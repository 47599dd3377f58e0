"""Builders of hostile and broken model files. Each gets the path of a canary, a file that the attack would create.

The pickles are put together instruction by instruction: no attacker needs Python's own pickler.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import json
import lzma
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
import skops.io
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

Builder = Callable[[Path], bytes]

PICKLES: dict[str, Builder] = {}
SKOPS: dict[str, Builder] = {}
FIRES: set[str] = set()
"""Pickles whose canary appears if they are loaded without limits: the control that the test can fail."""


def attack(*, fires: bool = False) -> Callable[[Builder], Builder]:
    def register(builder: Builder) -> Builder:
        name = builder.__name__
        (SKOPS if name.startswith("skops_") else PICKLES)[name] = builder
        if fires:
            FIRES.add(name)
        return builder

    return register


# Small honest models, to be spoiled


@functools.cache
def training() -> tuple[np.ndarray, np.ndarray]:
    vectors = np.random.default_rng(7).normal(size=(60, 584)).astype(np.float32)
    return vectors, np.array(["NOT_PC", "PC"] * 30, dtype=object)


def logistic() -> LogisticRegression:
    return LogisticRegression(max_iter=5, tol=10.0).fit(*training())


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(2, random_state=1).fit(*training())


def boosted() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=3, random_state=1).fit(*training())


def as_joblib(model: Any, compress: Any = 0) -> bytes:
    file = io.BytesIO()
    joblib.dump(model, file, compress=compress)
    return file.getvalue()


# Instructions


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def name(module: str, qualified: str) -> bytes:
    return text(module) + text(qualified) + b"\x93"


def values(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def call(module: str, qualified: str, *arguments: bytes) -> bytes:
    return name(module, qualified) + values(*arguments) + b"R"


def mapping(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def instance(module: str, qualified: str, state: bytes | None = None) -> bytes:
    return name(module, qualified) + b")\x81" + (state + b"b" if state is not None else b"")


def program(*instructions: bytes) -> bytes:
    return b"\x80\x04" + b"".join(instructions) + b"."


def in_model(value: bytes, attribute: str = "coef_") -> bytes:
    """A LogisticRegression of this version with one attribute."""
    state = mapping(**{attribute: value, "_sklearn_version": text(sklearn.__version__)})
    return program(instance("sklearn.linear_model._logistic", "LogisticRegression", state))


def touch(canary: Path) -> str:
    return f"touch {canary}"


def system(canary: Path, module: str = "os") -> bytes:
    return call(module, "system", text(touch(canary)))


def dtype(code: str, state: bytes | None = None) -> bytes:
    return call("numpy", "dtype", text(code), b"\x89", b"\x88") + (state + b"b" if state is not None else b"")


def array_record(kind: bytes, shape: bytes) -> bytes:
    return instance(
        "joblib.numpy_pickle",
        "NumpyArrayWrapper",
        mapping(subclass=name("numpy", "ndarray"), shape=shape, order=text("C"), dtype=kind, allow_mmap=b"\x89"),
    )


# Broken files


@attack()
def empty(canary: Path) -> bytes:
    return b""


@attack()
def plain_text(canary: Path) -> bytes:
    return b"This is no model.\nBut it has two lines.\n"


@attack()
def jpeg_header(canary: Path) -> bytes:
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * 8


@attack()
def cut_in_the_head(canary: Path) -> bytes:
    return as_joblib(logistic())[:10]


@attack()
def cut_in_the_middle(canary: Path) -> bytes:
    whole = as_joblib(logistic())
    return whole[: len(whole) // 2]


@attack()
def cut_at_the_end(canary: Path) -> bytes:
    return as_joblib(logistic())[:-1]


@attack()
def cut_while_packed(canary: Path) -> bytes:
    return as_joblib(logistic(), ("zlib", 3))[:-9]


@attack()
def bytes_after_the_end(canary: Path) -> bytes:
    return as_joblib(logistic()) + b"\x00"


@attack()
def bytes_after_the_end_in_a_frame(canary: Path) -> bytes:
    content = in_model(b"N")[2:] + system(canary)
    return b"\x80\x04\x95" + struct.pack("<Q", len(content)) + content


@attack()
def bytes_after_the_packed(canary: Path) -> bytes:
    return as_joblib(logistic(), ("gzip", 3)) + program(system(canary))


# Calls


@attack(fires=True)
def os_system(canary: Path) -> bytes:
    return program(system(canary))


@attack(fires=True)
def posix_system_in_a_model(canary: Path) -> bytes:
    return in_model(system(canary, "posix"))


@attack(fires=True)
def subprocess_popen(canary: Path) -> bytes:
    return program(call("subprocess", "Popen", text(touch(canary)), number(-1), *[b"N"] * 5, b"\x88", b"\x88"))


@attack(fires=True)
def builtins_eval(canary: Path) -> bytes:
    return program(call("builtins", "eval", text(f"open({str(canary)!r}, 'w').close()")))


@attack(fires=True)
def builtins_exec(canary: Path) -> bytes:
    return in_model(call("builtins", "exec", text(f"open({str(canary)!r}, 'w').close()")))


@attack(fires=True)
def builtins_import(canary: Path) -> bytes:
    module = call("builtins", "__import__", text("os"))
    return program(call("builtins", "getattr", module, text("system")), values(text(touch(canary))), b"R")


@attack(fires=True)
def getattr_chain(canary: Path) -> bytes:
    globals_ = call("builtins", "getattr", name("sklearn.base", "clone"), text("__globals__"))
    builtins = call("builtins", "getattr", globals_, text("get")) + values(text("__builtins__")) + b"R"
    open_ = call("builtins", "getattr", builtins, text("get")) + values(text("open")) + b"R"
    return program(open_, values(text(str(canary)), text("w")), b"R")


@attack(fires=True)
def dotted_name(canary: Path) -> bytes:
    return program(name("posixpath", "os.system"), values(text(touch(canary))), b"R")


@attack(fires=True)
def dotted_name_from_an_allowed_module(canary: Path) -> bytes:
    return program(name("sklearn.calibration", "warnings.sys.modules.get"), values(text("os")), b"R0", system(canary))


@attack(fires=True)
def old_global(canary: Path) -> bytes:
    return b"\x80\x02cos\nsystem\n(" + text(touch(canary)) + b"tR."


@attack(fires=True)
def inst(canary: Path) -> bytes:
    return b"\x80\x02(" + text(touch(canary)) + b"ios\nsystem\n."


@attack(fires=True)
def obj(canary: Path) -> bytes:
    return program(b"(", name("subprocess", "Popen"), values(text("touch"), text(str(canary))), b"o")


@attack()
def newobj_ex(canary: Path) -> bytes:
    return program(name("io", "FileIO"), values(text(str(canary)), text("w")), b"}\x92")


@attack(fires=True)
def functools_partial(canary: Path) -> bytes:
    return program(call("functools", "partial", name("os", "system"), text(touch(canary))), values(), b"R")


@attack()
def operator_attrgetter(canary: Path) -> bytes:
    return program(call("operator", "attrgetter", text("system")), values(name("os", "path")), b"R")


@attack(fires=True)
def numpy_memmap(canary: Path) -> bytes:
    return in_model(call("numpy", "memmap", text(str(canary)), text("uint8"), text("w+"), number(0), number(9)))


@attack(fires=True)
def joblib_memmap(canary: Path) -> bytes:
    return in_model(
        call("joblib.backports", "make_memmap", text(str(canary)), text("uint8"), text("w+"), number(0), number(9))
    )


def beside(canary: Path, content: bytes) -> str:
    """The path of a second file, as an attacker might leave it beside the model."""
    path = canary.with_suffix(".beside")
    path.write_bytes(content)
    return str(path)


@attack(fires=True)
def joblib_load(canary: Path) -> bytes:
    return program(call("joblib.numpy_pickle", "load", text(beside(canary, program(system(canary))))))


@attack(fires=True)
def numpy_load(canary: Path) -> bytes:
    return in_model(call("numpy", "load", text(beside(canary, program(system(canary)))), b"N", b"\x88"))


@attack(fires=True)
def nd_array_wrapper(canary: Path) -> bytes:
    state = mapping(filename=text(beside(canary, program(system(canary)))), subclass=name("numpy", "ndarray"))
    return in_model(instance("joblib.numpy_pickle", "NDArrayWrapper", state))


@attack()
def z_nd_array_wrapper(canary: Path) -> bytes:
    state = mapping(filename=text(beside(canary, b"ZF")), init_args=values(), state=values())
    return in_model(instance("joblib.numpy_pickle", "ZNDArrayWrapper", state))


@attack(fires=True)
def array_of_objects(canary: Path) -> bytes:
    """joblib's own way to store classes_: a second pickle within the first."""
    nested = call("numpy._core.multiarray", "_reconstruct", name("numpy", "ndarray"), values(number(0)), b"C\x01b")
    inner = program(system(canary), b"0", nested)
    return in_model(array_record(dtype("O8"), values(number(1))) + inner, "classes_")


@attack(fires=True)
def packed_array_of_objects(canary: Path) -> bytes:
    return zlib.compress(array_of_objects(canary))


for packing, pack in {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": functools.partial(lzma.compress, format=lzma.FORMAT_ALONE),
}.items():
    PICKLES[f"packed_{packing}"] = lambda canary, pack=pack: pack(os_system(canary))
    FIRES.add(f"packed_{packing}")


@attack()
def packed_lz4(canary: Path) -> bytes:
    return b"\x04\x22\x4d\x18" + os_system(canary)


@attack()
def packed_by_old_joblib(canary: Path) -> bytes:
    return b"ZF0x20                " + zlib.compress(os_system(canary))


# Instructions that no model needs, and states where none belong


@attack()
def extension_registry(canary: Path) -> bytes:
    return program(b"\x82\x01", values(text(touch(canary))), b"R")


@attack()
def persistent_id(canary: Path) -> bytes:
    return program(text(str(canary)), b"Q")


@attack()
def old_persistent_id(canary: Path) -> bytes:
    return b"\x80\x02P" + str(canary).encode() + b"\n."


@attack()
def state_for_a_class(canary: Path) -> bytes:
    state = values(b"N", mapping(hacked=number(1)))
    return program(name("sklearn.linear_model._logistic", "LogisticRegression"), state, b"b")


@attack()
def state_for_a_function(canary: Path) -> bytes:
    return program(name("numpy._core.multiarray", "_reconstruct"), mapping(hacked=number(1)), b"b")


@attack()
def slots_for_an_object(canary: Path) -> bytes:
    state = values(b"}", mapping(predict_proba=number(1)))
    return program(instance("sklearn.calibration", "_CalibratedClassifier", state))


@attack()
def class_as_an_attribute(canary: Path) -> bytes:
    return in_model(name("sklearn.pipeline", "Pipeline"), "predict_proba")


@attack()
def function_as_an_attribute(canary: Path) -> bytes:
    return in_model(name("numpy.random._pickle", "__generator_ctor"))


@attack()
def setstate_as_an_attribute(canary: Path) -> bytes:
    return in_model(number(1), "__setstate__")


@attack()
def function_transformer(canary: Path) -> bytes:
    state = mapping(func=name("os", "system"), kw_args=b"N", _sklearn_version=text("1.9.1"))
    return program(instance("sklearn.preprocessing._function_transformer", "FunctionTransformer", state))


@attack()
def random_state_by_a_callable(canary: Path) -> bytes:
    return in_model(
        call("numpy.random._pickle", "__randomstate_ctor", text("MT19937"), name("sklearn.pipeline", "Pipeline"))
    )


@attack()
def constructor_called(canary: Path) -> bytes:
    return program(call("sklearn.pipeline", "Pipeline", b"]"))


# Memory


LARGE = program(b"B" + struct.pack("<I", 8 * 2**20) + bytes(8 * 2**20))


@attack()
def gzip_bomb(canary: Path) -> bytes:
    return gzip.compress(LARGE)


@attack()
def zlib_bomb(canary: Path) -> bytes:
    return zlib.compress(LARGE)


@attack()
def xz_bomb(canary: Path) -> bytes:
    return lzma.compress(LARGE)


@attack()
def lzma_that_wants_4_gigabytes(canary: Path) -> bytes:
    packed = lzma.compress(os_system(canary), format=lzma.FORMAT_ALONE)
    return packed[:1] + struct.pack("<I", 2**32 - 256) + packed[5:]


@attack()
def array_larger_than_the_file(canary: Path) -> bytes:
    return in_model(array_record(dtype("f8"), values(number(2**31 - 1), number(2**31 - 1))))


@attack()
def array_state_larger_than_its_values(canary: Path) -> bytes:
    fresh = call("numpy._core.multiarray", "_reconstruct", name("numpy", "ndarray"), values(number(0)), b"C\x01b")
    state = values(number(1), values(number(2**31 - 1)), dtype("O8"), b"\x89", b"]")
    return in_model(fresh + state + b"b")


@attack()
def bytearray_larger_than_the_file(canary: Path) -> bytes:
    return program(b"\x96" + struct.pack("<Q", 2**40))


@attack()
def dtype_with_objects(canary: Path) -> bytes:
    field = values(dtype("O8"), number(0))
    state = values(number(3), text("|"), b"N", values(text("a")), mapping(a=field), number(64), number(1), number(16))
    return in_model(dtype("V64", state))


@attack()
def dtype_with_fields_beyond_its_items(canary: Path) -> bytes:
    field = values(dtype("f8"), number(2**30))
    state = values(number(3), text("|"), b"N", values(text("a")), mapping(a=field), number(64), number(1), number(16))
    return in_model(dtype("V64", state))


@attack()
def dtype_that_numpy_shares(canary: Path) -> bytes:
    shared = call("numpy", "dtype", text("f8"), b"\x89", b"\x89")
    state = values(number(3), text(">"), b"N", b"N", b"N", number(-1), number(-1), number(0))
    return in_model(shared + state + b"b")


@attack()
def scalar_of_an_object(canary: Path) -> bytes:
    return in_model(call("numpy._core.multiarray", "scalar", dtype("O8"), b"C\x08" + bytes(8)))


@attack()
def buffer_of_objects(canary: Path) -> bytes:
    return in_model(
        call("numpy._core.numeric", "_frombuffer", b"C\x08" + bytes(8), dtype("O8"), values(number(1)), text("C"))
    )


@attack()
def deep_tuple_as_a_key(canary: Path) -> bytes:
    return program(b"}", b")" + b"\x85" * 50_000, b"N", b"s")


@attack()
def deep_list(canary: Path) -> bytes:
    return program(b"]" * 40_000 + b"a" * 39_999)


@attack()
def deep_arrays_of_objects(canary: Path) -> bytes:
    return program()[:-1] + (array_record(dtype("O8"), values(number(1))) + b"\x80\x04") * 2_000


@attack()
def estimator_that_wraps_itself(canary: Path) -> bytes:
    version = text(sklearn.__version__)
    frozen = name("sklearn.frozen._frozen", "FrozenEstimator") + b")\x81\x94"
    frozen += mapping(estimator=b"h\x00", _sklearn_version=version) + b"b"
    steps = b"](" + values(text("itself"), frozen) + b"e"
    return program(instance("sklearn.pipeline", "Pipeline", mapping(steps=steps, _sklearn_version=version)))


@attack()
def huge_memo(canary: Path) -> bytes:
    return program(b"Nr\xff\xff\xff\x7f" * 10, b"j\xfe\xff\xff\x7f")


@attack()
def no_end_of_instructions(canary: Path) -> bytes:
    return program(b"]" * 100_000 + b"0" * 99_999)


# Trees


def spoiled(model: Any, nodes: Callable[[Any], None]) -> Any:
    """`model` with the nodes of its first tree changed by `nodes`; scikit-learn itself would take it."""
    if hasattr(model, "_predictors"):
        nodes(model._predictors[0][0].nodes)
        return model
    tree = model.estimators_[0].tree_
    state = tree.__getstate__()
    nodes(state["nodes"])
    renewed = type(tree)(tree.n_features, np.array([2]), 1)
    renewed.__setstate__(state)
    model.estimators_[0].tree_ = renewed
    return model


def spoil(**fields: int) -> Callable[[Any], None]:
    def change(nodes: Any) -> None:
        for field, value in fields.items():
            nodes[field][0] = value

    return change


# Trees whose nodes lead nowhere, in circles, or out of the array.
for spoilt, (tree_model, nodes) in {
    "forest_cycle": (forest, {"left_child": 0, "right_child": 0}),
    "forest_child_out_of_range": (forest, {"left_child": 2**40}),
    "forest_half_a_leaf": (forest, {"right_child": -1}),
    "forest_feature_out_of_range": (forest, {"feature": 584}),
    "forest_feature_negative": (forest, {"feature": -(2**40)}),
    "boosted_cycle": (boosted, {"left": 0, "right": 0}),
    "boosted_child_out_of_range": (boosted, {"right": 2**31}),
    "boosted_feature_out_of_range": (boosted, {"feature_idx": 2**40}),
    "boosted_category": (boosted, {"is_categorical": 1, "bitset_idx": 2**31}),
}.items():
    PICKLES[spoilt] = lambda canary, made=tree_model, nodes=nodes: as_joblib(spoiled(made(), spoil(**nodes)))


@attack()
def forest_of_another_width(canary: Path) -> bytes:
    model = forest()
    model.estimators_[0].n_features_in_ = 3
    return as_joblib(model)


@attack()
def forest_of_any_width(canary: Path) -> bytes:
    model = forest()
    del model.estimators_[0].n_features_in_
    return as_joblib(model)


def plain(value: Any) -> bytes:
    """The instructions that build `value`, without a memo, to be put in anywhere."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, protocol=3)
    pickler.fast = True
    pickler.dump(value)
    return file.getvalue()[2:-1]


def tree(*node_counts: int) -> bytes:
    """A model with a one-leaf Tree that is given a state for each of the node counts."""
    from sklearn.tree._tree import NODE_DTYPE

    nodes = np.zeros(1, NODE_DTYPE)
    nodes["left_child"] = nodes["right_child"] = -1
    state = {"max_depth": 0, "nodes": nodes, "values": np.full((1, 1, 2), 0.5)}
    made = call("sklearn.tree._tree", "Tree", number(584), plain(np.array([2])), number(1))
    states = [plain({**state, "node_count": count}) + b"b" for count in node_counts]
    return instance(
        "sklearn.linear_model._logistic",
        "LogisticRegression",
        mapping(coef_=made + b"".join(states), n_features_in_=number(584), _sklearn_version=text(sklearn.__version__)),
    )


@attack()
def tree_without_nodes(canary: Path) -> bytes:
    return program(tree())


@attack()
def tree_of_fewer_nodes_than_it_has(canary: Path) -> bytes:
    return program(tree(0))


@attack()
def tree_with_two_states(canary: Path) -> bytes:
    """The second would be copied into the memory of the first, whatever its size."""
    return program(tree(1, 1))


@attack()
def boosted_without_nodes(canary: Path) -> bytes:
    model = boosted()
    model._predictors[0][0].nodes = model._predictors[0][0].nodes[:0]
    return as_joblib(model)


@attack()
def boosted_with_a_preprocessor(canary: Path) -> bytes:
    model = boosted()
    model._preprocessor = StandardScaler()
    return as_joblib(model)


# skops files


def as_skops(model: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The schema, and the other members."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as archive:
        members = {entry: archive.read(entry) for entry in archive.namelist()}
    return json.loads(members.pop("schema.json")), members


def packed(schema: Any, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr("schema.json", schema if isinstance(schema, str) else json.dumps(schema))
    return file.getvalue()


def node(loader: str, module: str, kind: str, **rest: Any) -> dict[str, Any]:
    return {"__loader__": loader, "__module__": module, "__class__": kind, **rest}


def json_node(value: Any) -> dict[str, Any]:
    return node("JsonNode", "builtins", "str", content=json.dumps(value), is_json=True)


def tuple_node(*items: Any) -> dict[str, Any]:
    return node("TupleNode", "builtins", "tuple", content=list(items))


def skops_with(value: dict[str, Any], attribute: str = "C") -> bytes:
    """An honest LogisticRegression with one attribute swapped."""
    schema, members = as_skops(logistic())
    schema["content"]["content"][attribute] = value
    return packed(schema, members)


@attack()
def skops_empty(canary: Path) -> bytes:
    return b""


@attack()
def skops_that_is_a_pickle(canary: Path) -> bytes:
    return os_system(canary)


@attack()
def skops_cut(canary: Path) -> bytes:
    return skops.io.dumps(logistic())[:-30]


@attack()
def skops_without_a_schema(canary: Path) -> bytes:
    return packed("{}", {}).replace(b"schema.json", b"schema_json")


@attack()
def skops_operator(canary: Path) -> bytes:
    return skops_with(node("OperatorFuncNode", "operator", "methodcaller", attrs=tuple_node(json_node("system"))))


@attack()
def skops_method(canary: Path) -> bytes:
    owner = node("TypeNode", "builtins", "str")
    return skops_with(node("MethodNode", "builtins", "str", content={"obj": owner, "func": "format"}))


@attack()
def skops_function(canary: Path) -> bytes:
    return skops_with(node("FunctionNode", "os", "system"))


@attack()
def skops_function_of_numpy(canary: Path) -> bytes:
    """skops itself trusts this one."""
    return skops_with(node("FunctionNode", "numpy", "add"))


@attack()
def skops_partial(canary: Path) -> bytes:
    content = {
        "func": node("FunctionNode", "os", "system"),
        "args": tuple_node(json_node(touch(canary))),
        "kwds": node(
            "DictNode", "builtins", "dict", content={}, key_types=node("ListNode", "builtins", "list", content=[])
        ),
        "namespace": json_node(None),
    }
    return skops_with(node("PartialNode", "functools", "partial", content=content))


@attack()
def skops_constructor(canary: Path) -> bytes:
    arguments = tuple_node(json_node(touch(canary)))
    return skops_with(node("ConstructorFromReduceNode", "os", "system", content=arguments))


@attack()
def skops_loss_that_is_a_call(canary: Path) -> bytes:
    reduced = {"args": tuple_node(json_node(touch(canary)))}
    return skops_with(node("LossNode", "os", "system", content=tuple_node(), __reduce__=reduced))


@attack()
def skops_type(canary: Path) -> bytes:
    return skops_with(node("TypeNode", "os", "system"))


@attack()
def skops_type_as_a_value(canary: Path) -> bytes:
    return skops_with(node("TypeNode", "builtins", "str"), "coef_")


@attack()
def skops_list_of_another_class(canary: Path) -> bytes:
    return skops_with(node("ListNode", "os", "system", content=[]))


@attack()
def skops_function_transformer(canary: Path) -> bytes:
    """skops itself trusts this one too."""
    from sklearn.preprocessing import FunctionTransformer

    return packed(*as_skops(FunctionTransformer(np.add)))


@attack()
def skops_cached(canary: Path) -> bytes:
    return skops_with({**node("CachedNode", "builtins", "dict"), "__id__": 1})


@attack()
def skops_older_protocol(canary: Path) -> bytes:
    schema, members = as_skops(logistic())
    return packed({**schema, "protocol": 0}, members)


def generator(**changed: Any) -> bytes:
    model = boosted()
    schema, members = as_skops(model)
    rng = schema["content"]["content"]["_feature_subsample_rng"]["content"]
    for part in rng.values():
        for key, value in changed.items():
            if key in part["content"]:
                part["content"][key] = json_node(value)
    return packed(schema, members)


@attack()
def skops_generator_that_is_a_function(canary: Path) -> bytes:
    return generator(bit_generator="set_bit_generator")


@attack()
def skops_generator_of_a_huge_pool(canary: Path) -> bytes:
    return generator(pool_size=2**40)


@attack()
def skops_bomb(canary: Path) -> bytes:
    return packed("{}", {"1.npy": bytes(8 * 2**20)}, zipfile.ZIP_DEFLATED)


@attack()
def skops_bomb_that_says_it_is_small(canary: Path) -> bytes:
    whole = packed("{}", {"1.npy": bytes(8 * 2**20)}, zipfile.ZIP_DEFLATED)
    return whole.replace(struct.pack("<I", 8 * 2**20), struct.pack("<I", 100))


@attack()
def skops_path_traversal(canary: Path) -> bytes:
    schema, members = as_skops(logistic())
    return packed(schema, {**members, f"../../../../../../../{canary}": b"chirp"})


@attack()
def skops_packed_oddly(canary: Path) -> bytes:
    return packed(*as_skops(logistic()), zipfile.ZIP_LZMA)


@attack()
def skops_deep(canary: Path) -> bytes:
    return packed('{"protocol": 2, "a": ' + "[" * 500 + "]" * 500 + "}", {})


@attack()
def skops_too_deep_for_json(canary: Path) -> bytes:
    return packed("[" * 200_000 + "]" * 200_000, {})


@attack()
def skops_array_larger_than_its_member(canary: Path) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": (2**40,), "fortran_order": False, "descr": "<f8"})
    schema, members = as_skops(logistic())
    return packed(schema, {**members, "1.npy": file.getvalue()})


@attack()
def skops_array_of_objects(canary: Path) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Touch(canary)], dtype=object), allow_pickle=True)
    schema, members = as_skops(logistic())
    return packed(schema, {**members, "1.npy": file.getvalue()})


class Touch:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.canary), "w")


@attack()
def skops_forest_cycle(canary: Path) -> bytes:
    return packed(*as_skops(spoiled(forest(), spoil(left_child=0, right_child=0))))


@attack()
def skops_boosted_cycle(canary: Path) -> bytes:
    return packed(*as_skops(spoiled(boosted(), spoil(left=0, right=0))))
