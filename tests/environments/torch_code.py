"""What runs where PyTorch is installed: trainers of a bundle, and what asks a model there."""

# What MLflow's PyTorch flavour holds, called without any of this package.
OWN = """
import sys
import mlflow, pyarrow.parquet, torch
mlflow.set_tracking_uri(sys.argv[1])
module = mlflow.pytorch.load_model(sys.argv[2])
table = pyarrow.parquet.read_table(sys.argv[3])
columns = [torch.tensor(table[name].to_pylist(), dtype=torch.float32) for name in ("size", "weight")]
with torch.no_grad():
    print(*module(torch.stack(columns, dim=1))[:, 0].tolist())
"""

WEIGHTS = """
import hashlib, sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
state = mlflow.pytorch.load_model(sys.argv[2]).state_dict()
print(hashlib.sha256(b"".join(name.encode() + kept.numpy().tobytes() for name, kept in state.items())).hexdigest())
"""
# With a class of its own, and with what torch draws in the checkpoint.
EPOCHS = """
import io, os, time
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))

    def forward(self, x):
        return torch.sigmoid(self.layers(x))[:, 0]

def train(data, params, context):
    x = torch.from_numpy(data.X.to_numpy("float32"))
    y = torch.from_numpy(data.y.to_numpy("float32"))
    net, done = Net(), 0
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    kept = context.checkpoint.restore()
    if kept is not None:
        state = torch.load(io.BytesIO(kept))
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["drawn"])
        done = state["epoch"]
    for epoch in range(done + 1, params["epochs"] + 1):
        print("begins", epoch, "in process", os.getpid(), flush=True)
        time.sleep(0.5)
        loss = nn.functional.binary_cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epoch % 3 == 0:
            whole = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "drawn": torch.get_rng_state()}
            torch.save({**whole, "epoch": epoch}, packed := io.BytesIO())
            context.checkpoint.save(packed.getvalue(), step=epoch)
    return net
"""
MODULES = """
import torch
from torch import nn

class Fixed(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)

def logits(data, params, context):
    return nn.Linear(2, 1)

def nulls(data, params):
    return Fixed(lambda x: torch.sigmoid(x[:, 0] / (x[:, 0] > 0)  - x[:, 0] / (x[:, 0] > 0)))

def many(data, params):
    return nn.Sequential(nn.Linear(2, 3), nn.Softmax(dim=1))

def no_tensor(data, params):
    return Fixed(lambda x: (x[:, 0],))

class OfTexts(Fixed):
    def predict(self, frame):
        size = torch.from_numpy(frame["size"].to_numpy("float32"))
        return self(size + torch.from_numpy(frame["colour"].isna().to_numpy("float32"))).numpy()

def of_texts(data, params):
    return (OfTexts if params["own"] else Fixed)(torch.sigmoid)
"""

BY_HAND = """
import sys
import pandas
from airflow_mlops_provider.steps.checkpoint import Checkpoint
from airflow_mlops_provider.steps.context import TrainingContext
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.training_data import TrainingData

def context(key, take):
    return TrainingContext(key, emit=take, seed=7, checkpoint=Checkpoint(Lake(sys.argv[1]), key, emit=take))

def fails(message):
    if message.text.startswith("epoch 7/"):
        raise InterruptedError

def weights(key, take):
    torch.manual_seed(7)
    return [kept.tolist() for kept in train(data, {"lr": 0.01, "epochs": 10}, context(key, take)).state_dict().values()]

assert "torch" not in sys.modules
device = context("first", print).device
import torch
print(torch.initial_seed(), device)
sys.path.insert(0, sys.argv[2])
from late_net import train
x = pandas.DataFrame({"size": [0.0, 1.0, 2.0, 3.0] * 200, "weight": [1.0, 2.0] * 400})
data = TrainingData(x, (x["size"] > 1.5).rename("late"))
try:
    weights("a", fails)
except InterruptedError:
    print(7)
said = []
resumed = weights("a", lambda message: said.append(message.text))
epochs = [text.split()[1].partition("/")[0] for text in said if text.startswith("epoch")]
print(f"{epochs[0]}..{epochs[-1]}", "same" if resumed == weights("b", said.append) else "other")
"""
IN_ONE_PROCESS = """
import json, sys
from airflow_mlops_provider.runners.execute import answer
for name, line in json.loads(sys.argv[1]).items():
    outcome = answer(line, lambda message: None)
    print("OUTCOME", name, outcome.kind, " ".join(outcome.error.split()))
"""
