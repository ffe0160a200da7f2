"""What bench/exports.ts asks of Python: other converters and quantizers, and runs in ONNX Runtime and LiteRT.

usage: python exports_peers.py export MODEL FOLDER                     a SavedModel in FOLDER/saved, FOLDER/tensorflow.tflite
       python exports_peers.py onnx SAVED OUT.onnx                     tf2onnx, nothing else
       python exports_peers.py keras MODEL OUT.onnx                    the same from a Keras file, in one process
       python exports_peers.py quantize-onnx FLOAT.onnx INPUTS FOLDER  ONNX Runtime's: int8.onnx, int4.onnx
       python exports_peers.py quantize-litert FLOAT.tflite INPUTS FOLDER
                                                        ai-edge-quantizer's: int8, int4 and int8 of activations too
       python exports_peers.py outputs INPUTS OUT MODEL                one thread, one sample at a time
       python exports_peers.py turns INPUTS ROUNDS MODEL ...           in turns, one process

INPUTS is a .npy file of samples. `outputs` writes them as .npy and prints a line of JSON: MB of resident memory that model and
inference add. `turns` prints the milliseconds of processor time of all models in every round, and how many nodes ONNX models have.
"""
import json
import os
import sys
from time import process_time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import numpy as np


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def onnx_session(path):
    import onnxruntime as ort

    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def litert_session(path):
    from ai_edge_litert.interpreter import Interpreter

    own = Interpreter(model_path=path, num_threads=1)
    own.allocate_tensors()
    (given,), (made,) = own.get_input_details(), own.get_output_details()
    (scale, zero), (step, middle) = given["quantization"], made["quantization"]

    def call(x):
        if given["dtype"] is np.int8:
            x = np.clip(np.round(x / scale + zero), -128, 127).astype("int8")
        own.set_tensor(given["index"], x)
        own.invoke()
        y = own.get_tensor(made["index"])
        return ((y.astype("float32") - middle) * step) if y.dtype == np.int8 else y

    return call


def session(path):
    # The library is loaded before memory is looked at.
    if path.endswith(".onnx"):
        import onnxruntime  # noqa: F401

        return onnx_session
    import ai_edge_litert.interpreter  # noqa: F401

    return litert_session


def outputs(inputs, out, path):
    x = np.load(inputs)
    open_model = session(path)
    before = resident()
    call = open_model(path)
    results = [np.array(call(x[i : i + 1])) for i in range(min(8, len(x)))]
    memory = resident() - before
    results += [np.array(call(x[i : i + 1])) for i in range(len(results), len(x))]
    np.save(out, np.concatenate(results))
    print(json.dumps({"mb": memory}))


def turns(inputs, rounds, *paths):
    x = np.load(inputs)
    calls = [session(path)(path) for path in paths]
    times = [[] for _ in calls]
    for i in range(-3, int(rounds)):
        sample = x[i % len(x)][None]
        for own, call in zip(times, calls):
            # The first of two runs brings the weights back into the caches.
            call(sample)
            start = process_time()
            call(sample)
            if i >= 0:
                own.append(1000 * (process_time() - start))
    result = {"times": times}
    if all(path.endswith(".onnx") for path in paths):
        import onnx

        result["nodes"] = [len(onnx.load(path, load_external_data=False).graph.node) for path in paths]
    print(json.dumps(result))


def export(path, folder):
    import keras
    import tensorflow as tf

    saved = os.path.join(folder, "saved")
    keras.saving.load_model(path, compile=False).export(saved, verbose=False)
    with open(os.path.join(folder, "tensorflow.tflite"), "wb") as file:
        file.write(tf.lite.TFLiteConverter.from_saved_model(saved).convert())


def onnx_of(saved, out):
    from tf2onnx import convert

    sys.argv = ["tf2onnx", "--saved-model", saved, "--output", out, "--opset", "18"]
    convert.main()


def keras_of(path, out):
    import tempfile

    import keras

    # tf2onnx.convert.from_keras of tf2onnx 1.17 fails on models of Keras 3.
    with tempfile.TemporaryDirectory() as folder:
        keras.saving.load_model(path, compile=False).export(folder, verbose=False)
        onnx_of(folder, out)


def quantize_onnx(source, inputs, folder):
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, matmul_nbits_quantizer, quantize_static

    x = np.load(inputs)
    name = onnx.load(source).graph.input[0].name

    class Samples(CalibrationDataReader):
        def __init__(self):
            self.all = iter([{name: one[None]} for one in x[:256]])

        def get_next(self):
            return next(self.all, None)

    quantize_static(source, os.path.join(folder, "int8.onnx"), Samples(), per_channel=True, weight_type=QuantType.QInt8)
    config = matmul_nbits_quantizer.DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=True, bits=4)
    own = matmul_nbits_quantizer.MatMulNBitsQuantizer(onnx.load(source), algo_config=config)
    own.process()
    own.model.save_model_to_file(os.path.join(folder, "int4.onnx"))


def quantize_litert(source, inputs, folder):
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import qtyping, quantizer, recipe

    x = np.load(inputs)
    ((key, ports),) = Interpreter(source).get_signature_list().items()
    for label, make in (
        ("weights4", recipe.weight_only_wi4_afp32),
        ("dynamic8", recipe.dynamic_wi8_afp32),
        ("static8", recipe.static_wi8_ai8),
        ("static8-floats", recipe.static_wi8_ai8),
    ):
        own = quantizer.Quantizer(source, make())
        if label == "static8-floats":
            # LiteRT.js takes and gives no int8.
            for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
                own.update_quantization_recipe(".*", end, algorithm_key="no_quantize")
        is_static = label.startswith("static8")
        ranges = own.calibrate({key: [{ports["inputs"][0]: one[None]} for one in x[:256]]}) if is_static else None
        result = own.quantize(ranges)
        with open(os.path.join(folder, f"{label}.tflite"), "wb") as file:
            file.write(result.quantized_model)


commands = {
    "export": export,
    "onnx": onnx_of,
    "keras": keras_of,
    "quantize-onnx": quantize_onnx,
    "quantize-litert": quantize_litert,
    "outputs": outputs,
    "turns": turns,
}
commands[sys.argv[1]](*sys.argv[2:])
