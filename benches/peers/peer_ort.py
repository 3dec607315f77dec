"""ONNX Runtime: predictions of a model built here, by plain calls and by bound buffers."""

from common import make_batches, make_weights, measure, parse_args

args = parse_args(modes=("predict",))

import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

workload = args.workload
ACTIVATION = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}[workload.activation]


def make_model():
    nodes, weights, x = [], [], "x"
    for i, (w, b) in enumerate(make_weights(workload)):
        weights += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [x, f"w{i}", f"b{i}"], [f"z{i}"]))
        last = i == len(workload.layers) - 2
        x = "y" if last else f"a{i}"
        nodes.append(helper.make_node("Softmax" if last else ACTIVATION, [f"z{i}"], [x]))
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [args.rows, size])]
        for name, size in (("x", workload.layers[0]), ("y", workload.layers[-1]))
    )
    graph = helper.make_graph(nodes, workload.name, inputs, outputs, weights)
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])


options = ort.SessionOptions()
options.intra_op_num_threads = args.threads
session = ort.InferenceSession(make_model().SerializeToString(), options, providers=["CPUExecutionProvider"])
((x, _),) = make_batches(args)
feed = {"x": x}
measure(args, "ort", "run", ort.__version__, lambda _: session.run(None, feed))

binding = session.io_binding()
binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x))
binding.bind_ortvalue_output("y", ort.OrtValue.ortvalue_from_numpy(session.run(None, feed)[0]))
measure(args, "ort", "bound", ort.__version__, lambda _: session.run_with_iobinding(binding))
