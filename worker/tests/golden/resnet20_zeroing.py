"""Reference for worker/tests/checkpoint.rs: what PyTorch gives when filters of the published ResNet-20 are set to zero.

For every channel group that a single convolution makes, and for the first stage (whose residual adds tie four
convolutions), the round(ratio * channels) filters with the least L1 norm (summed over the layers of the group) are set to
zero, with the scale and shift of their batch norms. Prints `group,ratio,right` over the 508 test images.

    python resnet20_zeroing.py ../shared/data > worker/tests/golden/resnet20_zeroing.csv     (PyTorch 2.15, CPU)
"""
import copy, sys
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F

class Block(nn.Module):
    def __init__(self, into, out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.change = stride != 1 or into != out
        self.pad = out // 4
    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.change:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(x + y)

class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        stage = lambda into, out, stride: nn.Sequential(Block(into, out, stride), Block(out, out, 1), Block(out, out, 1))
        self.layer1, self.layer2, self.layer3 = stage(16, 16, 1), stage(16, 32, 2), stage(32, 64, 2)
        self.linear = nn.Linear(64, 10)
    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))

root = sys.argv[1]
net = ResNet20().eval()
state = torch.load(f"{root}/checkpoints/resnet20-12fca82f.th", map_location="cpu", weights_only=False)["state_dict"]
net.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
raw = np.fromfile(f"{root}/cifar-10-mini/test_batch.bin", np.uint8).reshape(-1, 3073)
labels = torch.tensor(raw[:, 0].astype(np.int64))
images = torch.tensor(raw[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32)) / 255
mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
images = (images - mean[:, None, None]) / std[:, None, None]

def right(model):
    with torch.no_grad():
        return int((model(images).argmax(1) == labels).sum())

groups = {"conv1": ["conv1"] + [f"layer1.{block}.conv2" for block in range(3)]}
for stage in (1, 2, 3):
    for block in range(3):
        groups[f"layer{stage}.{block}.conv1"] = [f"layer{stage}.{block}.conv1"]
print("group,ratio,right")
print(f"dense,0.0,{right(net)}")
for group, layers in groups.items():
    norm = sum(net.get_submodule(layer).weight.detach().abs().sum((1, 2, 3)) for layer in layers)
    order = torch.argsort(norm, stable=True)
    for tenth in range(1, 10):
        ratio = tenth / 10
        gone = order[: int(ratio * len(order) + 0.5)]
        model = copy.deepcopy(net)
        for layer in layers:
            norm_layer = model.get_submodule(layer.replace("conv", "bn"))
            with torch.no_grad():
                model.get_submodule(layer).weight[gone] = 0
                norm_layer.weight[gone] = 0
                norm_layer.bias[gone] = 0
        print(f"{group},{ratio},{right(model)}")
