#!/usr/bin/env bash
# LiteRT: an int4 weight of -8 is right or wrong depending on the delegate
#
# ai-edge-litert 2.3.0, FULLY_CONNECTED with float32 input, INT4 weights and one scale per output.
#
# Expected: int4 holds -8 to 7, and a code of -8 is -8 times its scale with and without the XNNPACK delegate.
#
# Seen: with XNNPACK the outputs are right to the 8 bits of its activations. Without it (other devices, or the
# reference build) they are wrong by as much as the outputs themselves as soon as one code is -8; with codes from
# -7 they are right. No error.
#
# Way around: quantize to -7 .. 7, as LiteRT's own quantizer does.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
with_pip ai-edge-litert==2.3.0 flatbuffers==25.12.19 numpy==2.4.6
cat > try.py <<'EOF'
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

rng = np.random.default_rng(1)


def run(operator, options, kind, bits, codes, scale, x, shape, delegate=True):
    """Runs one operation: float input, weights of `bits` bits with one scale per output, float output."""
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]

    def tensor(name, shape, kind=schema.TensorType.FLOAT32, data=None):
        made = schema.TensorT()
        made.name, made.shape, made.type = name, list(shape), kind
        made.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = data
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        return made

    per = 8 // bits
    flat = (codes.ravel() & (1 << bits) - 1).reshape(-1, per)
    packed = sum(flat[:, i] << bits * i for i in range(per)).astype(np.uint8)
    weights = tensor("w", codes.shape, kind, packed)
    weights.quantization = schema.QuantizationParametersT()
    weights.quantization.scale = [float(one) for one in scale]
    weights.quantization.zeroPoint = [0] * len(scale)
    weights.quantization.quantizedDimension = 0
    bias = tensor("b", [len(scale)], data=np.zeros(len(scale), "f4").view(np.uint8))
    graph = schema.SubGraphT()
    graph.tensors = [tensor("x", x.shape), weights, bias, tensor("y", shape)]
    graph.inputs, graph.outputs = [0], [3]
    node = schema.OperatorT()
    node.opcodeIndex, node.inputs, node.outputs = 0, [0, 1, 2], [3]
    node.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
    node.builtinOptions = options
    graph.operators = [node]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = operator
    model.subgraphs, model.operatorCodes = [graph], [code]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    resolver = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=bytes(builder.Output()), experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).copy()

scale = rng.uniform(0.5, 1.5, 8)
x = rng.normal(size=(2, 32)).astype("f4")
for lowest in (-8, -7):
    codes = rng.integers(lowest, 8, (8, 32))
    wanted = x @ (codes * scale[:, None]).T
    for delegate in (True, False):
        options = schema.FullyConnectedOptionsT()
        y = run(schema.BuiltinOperator.FULLY_CONNECTED, options, schema.TensorType.INT4, 4, codes, scale, x, [2, 8], delegate)
        error = np.abs(y - wanted).max() / np.abs(wanted).max()
        print(f"codes from {lowest}, {'with' if delegate else 'without'} XNNPACK: error {error:.3f}")
        assert error > 0.3 if lowest == -8 and not delegate else error < 0.05
EOF
python try.py
