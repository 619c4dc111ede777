"""Makes the graphs that the import tests read: torchvision's networks as both of PyTorch's exporters write them.

Only the graphs are kept. Every float tensor above 64 elements becomes external data of a file called `weights` that is
not there; the tests make its numbers up. `table.txt` holds, for each network, its multiply-accumulates and the names of
its modules that have weights.

Run: python make.py [FULL_DIR] (FULL_DIR also gets the files with weights, for comparing outputs).
"""

import gzip, pathlib, sys, warnings
import onnx, torch, torchvision

torch.set_num_threads(1)
warnings.simplefilter("ignore")
HERE = pathlib.Path(__file__).parent
NETWORKS = """alexnet vgg11_bn resnet18 resnext50_32x4d mobilenet_v2 mobilenet_v3_small efficientnet_b0 densenet121 googlenet
squeezenet1_1 shufflenet_v2_x1_0 mnasnet1_0 regnet_y_400mf""".split()
KINDS = ["script11", "script13bn", "script17", "script17bn", "dynamo18", "dynamo20dyn"]
KEPT = ["script13bn", "script17", "dynamo18"]
LARGE = ["alexnet", "vgg11_bn"]  # these in one kind only: their weights take long to make up


def export(net, kind, path):
    x = torch.randn(1, 3, 224, 224)
    if kind.startswith("script"):
        keep = kind.endswith("bn")
        torch.onnx.export(
            net, x, path, dynamo=False, opset_version=int(kind[6:8]), input_names=["image"], output_names=["scores"],
            training=torch.onnx.TrainingMode.PRESERVE if keep else torch.onnx.TrainingMode.EVAL, do_constant_folding=not keep,
            dynamic_axes={"image": {0: "batch"}} if not keep else None)
    else:
        shapes = ({0: torch.export.Dim("batch")},) if kind.endswith("dyn") else None
        torch.onnx.export(
            net, (torch.randn(2, 3, 224, 224) if shapes else x,), path, dynamo=True, opset_version=int(kind[6:8]), input_names=["image"],
            output_names=["scores"], dynamic_shapes=shapes, external_data=False, verbose=False)


def strip(path, to):
    model = onnx.load(path)
    offset = 0
    tensors = list(model.graph.initializer) + [a.t for n in model.graph.node for a in n.attribute if a.HasField("t")]
    for tensor in tensors:
        count = 1
        for size in tensor.dims:
            count *= size
        if tensor.data_type == onnx.TensorProto.FLOAT and count > 64:
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in [("location", "weights"), ("offset", offset), ("length", 4 * count)]:
                entry = tensor.external_data.add()
                entry.key, entry.value = key, str(value)
            offset += 4 * count
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del model.graph.value_info[:]
    del model.metadata_props[:]
    for value in list(model.graph.input) + list(model.graph.output):
        del value.metadata_props[:]
    to.write_bytes(gzip.compress(model.SerializeToString(deterministic=True), 9, mtime=0))


def macs(net):
    total = 0

    def count(module, inputs, output):
        nonlocal total
        per = module.weight[0].numel()
        total += per * output.numel()

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    net(torch.randn(1, 3, 224, 224))
    for hook in hooks:
        hook.remove()
    return total


def main():
    full = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "onnx-full")
    full.mkdir(parents=True, exist_ok=True)
    table = []
    for name in NETWORKS:
        torch.manual_seed(1)
        extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        net = getattr(torchvision.models, name)(weights=None, **extra).eval()
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
                torch.nn.init.uniform_(module.running_var, 0.8, 1.2)
                torch.nn.init.uniform_(module.weight, 0.8, 1.2)
                torch.nn.init.uniform_(module.bias, -0.2, 0.2)
        weighted = [n for n, m in net.named_modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
        norms = [n for n, m in net.named_modules() if isinstance(m, torch.nn.BatchNorm2d)]
        meta = torchvision.models.get_model_weights(name).DEFAULT.meta
        table.append(f"{name} {macs(net)} {meta['_ops']} {','.join(weighted)} {','.join(norms)}")
        for kind in KINDS:
            path = full / f"{name}.{kind}.onnx"
            try:
                if not path.exists():
                    export(net, kind, str(path))
                if kind in KEPT and (name not in LARGE or kind == "script13bn"):
                    strip(path, HERE / f"{name}.{kind}.onnx.gz")
                print("ok", name, kind, flush=True)
            except Exception as error:
                print("FAILED", name, kind, str(error)[:300].replace("\n", " "), flush=True)
    (HERE / "table.txt").write_text("\n".join(table) + "\n")


main()
