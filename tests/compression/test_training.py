"""Training, distilling, pruning and fine-tuning on data that can be learned in a second."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'edgebench[torch]'")

from edgebench.compression import pruning, training
from edgebench.compression.training import Recipe

pytestmark = pytest.mark.torch

CLASSES = 4
RECIPE = Recipe(epochs=12, seed=1, learning_rate=2e-2)
Data = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def data() -> Data:
    """Return 400 points around four corners, with the corner as label: chance is 25 %."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(400) % CLASSES
    corners = torch.tensor([[0.0, 0.0], [0.0, 3.0], [3.0, 0.0], [3.0, 3.0]])
    return corners[y] + 0.5 * torch.randn(400, 2, generator=generator), y


def net(width: int = 16, seed: int = 0) -> torch.nn.Module:
    """Return a network with a norm and dropout, so that its mode and random numbers matter."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Linear(2, width),
        torch.nn.BatchNorm1d(width),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.1),
        torch.nn.Linear(width, CLASSES),
    )


@pytest.fixture(scope="module")
def teacher(data: Data) -> torch.nn.Module:
    """Return a wide network that has learned the data."""
    return training.train(net(64), *data, Recipe(epochs=10, learning_rate=1e-2))[0]


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return copies of a model's tensors by name."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Return whether all tensors are bit for bit equal."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# --- learning -----------------------------------------------------------------------------------


def test_training_learns(data: Data) -> None:
    """Twelve epochs lift a network from about chance to above 90 %, and the record says so."""
    before = training.accuracy(net(), *data)
    model, fit = training.train(net(), *data, RECIPE)
    assert before < 0.6
    assert fit.accuracy > 0.9
    assert fit.accuracy == training.accuracy(model, *data)
    assert fit.epochs == 12
    assert 0 < fit.loss < 0.6
    assert fit.seconds > 0


def test_a_student_learns_from_its_teacher_alone(data: Data, teacher: torch.nn.Module) -> None:
    """With alpha 1 the labels are not looked at: a student given wrong ones answers as its teacher."""
    x, y = data
    shuffled = y.roll(1)
    student, _ = training.distil(net(16), teacher, x, shuffled, RECIPE, temperature=4.0, alpha=1.0)
    agreement = (student(x).argmax(1) == teacher(x).argmax(1)).float().mean()
    assert agreement > 0.9
    assert training.accuracy(student, x, shuffled) < 0.3


def test_a_student_learns_from_labels_alone(data: Data) -> None:
    """With alpha 0 the teacher is not listened to: the loss is cross-entropy."""
    x, y = data
    untrained = net(64)
    distilled, fit = training.distil(net(16), untrained, x, y, RECIPE, temperature=4.0, alpha=0.0)
    trained, other = training.train(net(16), x, y, RECIPE)
    assert fit.accuracy > 0.9
    assert fit.loss == pytest.approx(other.loss, rel=1e-4)
    assert all(
        torch.allclose(a, b, atol=1e-4)
        for a, b in zip(distilled.parameters(), trained.parameters(), strict=True)
    )


def test_the_distilling_loss_is_hintons(data: Data, teacher: torch.nn.Module) -> None:
    """One batch, one epoch: alpha · T² · KL(teacher ‖ student) + (1 − alpha) · cross-entropy."""
    x, y = data[0][:64], data[1][:64]
    student = torch.nn.Linear(2, CLASSES)
    temperature, alpha = 3.0, 0.6
    recipe = Recipe(epochs=1, batch=64)
    _, fit = training.distil(student, teacher, x, y, recipe, temperature=temperature, alpha=alpha)
    with torch.no_grad():
        p = torch.softmax(teacher(x) / temperature, 1)
        q = torch.softmax(student(x) / temperature, 1)
        divergence = (p * (p.log() - q.log())).sum(1).mean()
        hard = -torch.log_softmax(student(x), 1)[torch.arange(64), y].mean()
    assert fit.loss == pytest.approx(
        float(alpha * temperature**2 * divergence + (1 - alpha) * hard), rel=1e-4
    )


# --- nothing that goes in is changed ------------------------------------------------------------


@pytest.mark.parametrize("in_training", [True, False])
def test_no_step_changes_what_it_is_given(data: Data, teacher: torch.nn.Module, *, in_training: bool) -> None:
    """Model, teacher, data and their modes are after each step what they were before it."""
    x, y = data
    model, master = net().train(in_training), copy.deepcopy(teacher).train(in_training)
    before = (weights(model), weights(master), x.clone(), y.clone())
    recipe = Recipe(epochs=1)
    training.train(model, x, y, recipe)
    training.distil(model, master, x, y, recipe, temperature=2.0, alpha=0.5)
    training.finetune(model, x, y, recipe)
    pruning.prune(model, sparsity=0.5)
    training.accuracy(model, x, y)
    after = (weights(model), weights(master), x, y)
    assert same(before[0], after[0])
    assert same(before[1], after[1])
    assert torch.equal(before[2], after[2])
    assert torch.equal(before[3], after[3])
    assert (model.training, master.training) == (in_training, in_training)
    assert all(p.grad is None for p in (*model.parameters(), *master.parameters()))


def test_the_teacher_answers_as_in_use(data: Data, teacher: torch.nn.Module) -> None:
    """A teacher left in training mode teaches the same: its norms and dropout are frozen."""
    x, y = data
    recipe = Recipe(epochs=1)
    made = [
        training.distil(net(), copy.deepcopy(teacher).train(mode), x, y, recipe, temperature=2.0, alpha=1.0)
        for mode in (True, False)
    ]
    assert same(weights(made[0][0]), weights(made[1][0]))


# --- repeatable ---------------------------------------------------------------------------------

Step = Callable[[Recipe], torch.nn.Module]


def steps(data: Data, teacher: torch.nn.Module) -> dict[str, Step]:
    """Return each training step as a function of its recipe."""
    x, y = data
    return {
        "train": lambda r: training.train(net(), x, y, r)[0],
        "distil": lambda r: training.distil(net(), teacher, x, y, r, temperature=2.0, alpha=0.5)[0],
        "finetune": lambda r: training.finetune(pruning.prune(net(), sparsity=0.5)[0], x, y, r)[0],
    }


@pytest.mark.parametrize("kind", ["train", "distil", "finetune"])
def test_the_same_seed_gives_the_same_weights(kind: str, data: Data, teacher: torch.nn.Module) -> None:
    """Bit for bit, whatever random numbers were drawn between; another seed gives others."""
    step = steps(data, teacher)[kind]
    first = weights(step(Recipe(epochs=2, seed=5)))
    torch.rand(1000)
    assert same(first, weights(step(Recipe(epochs=2, seed=5))))
    assert not same(first, weights(step(Recipe(epochs=2, seed=6))))


@pytest.mark.parametrize("count", [2, 63, 64, 65, 127, 129])
def test_no_batch_is_a_single_sample(count: int, data: Data) -> None:
    """A number of samples that leaves one over trains a network with norms, which need two."""
    x, y = data[0][:count], data[1][:count]
    seen: list[int] = []

    class Watched(torch.nn.Sequential):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            seen.append(len(inputs))
            answer: torch.Tensor = super().forward(inputs)
            return answer

    training.train(Watched(*net()), x, y, Recipe(epochs=1, batch=64))
    *trained_on, measured_on = seen
    assert sum(trained_on) == measured_on == count
    assert min(trained_on) > 1


def test_every_sample_is_seen_once_an_epoch(data: Data) -> None:
    """Batches hold every row once, and the loss is the mean over all samples, whatever the batches."""
    rows = training._batches(torch.arange(65), 64)
    assert [len(part) for part in rows] == [65]
    rows = training._batches(torch.arange(130), 64)
    assert [len(part) for part in rows] == [64, 64, 2]
    assert torch.cat(rows).tolist() == list(range(130))
    x, y = data
    plain = torch.nn.Linear(2, CLASSES)
    _, fit = training.train(plain, x[:130], y[:130], Recipe(epochs=1, learning_rate=0.0))
    whole = torch.nn.functional.cross_entropy(plain(x[:130]), y[:130])
    assert fit.loss == pytest.approx(float(whole.detach()), rel=1e-5)


# --- pruning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.333, 0.5, 0.9, 0.999])
def test_the_sparsity_is_exact(sparsity: float) -> None:
    """Of 96 weights round(sparsity · 96) are zero, and the record counts them."""
    model, pruned = pruning.prune(net(), sparsity=sparsity)
    assert pruned.weights == 2 * 16 + 16 * 4 == 96
    assert pruned.zeros == round(sparsity * 96)
    assert pruned.sparsity == pruned.zeros / 96
    assert sum(int((m.weight == 0).sum()) for m in model if isinstance(m, torch.nn.Linear)) == pruned.zeros


def test_the_smallest_of_all_layers_go_together() -> None:
    """One threshold for all layers: no weight that stays is smaller than one that went."""
    before = net()
    with torch.no_grad():
        before[4].weight.mul_(10)
    after, pruned = pruning.prune(before, sparsity=0.5)
    magnitudes = torch.cat([before[i].weight.detach().abs().flatten() for i in (0, 4)])
    gone = torch.cat([(after[i].weight == 0).flatten() for i in (0, 4)])
    assert magnitudes[gone].max() <= magnitudes[~gone].min()
    assert pruned.per_layer["0.weight"] > pruned.per_layer["4.weight"]


def test_each_layer_is_recorded() -> None:
    """The share of zeros is given for every layer, and together they make the whole."""
    _, pruned = pruning.prune(net(), sparsity=0.5)
    assert pruned.per_layer.keys() == {"0.weight", "4.weight"}
    assert 32 * pruned.per_layer["0.weight"] + 64 * pruned.per_layer["4.weight"] == pytest.approx(
        pruned.zeros
    )


def test_biases_and_norms_are_left_alone() -> None:
    """Only weights of convolutions and linear layers are pruned, what stays keeps its value."""
    before = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Conv1d(2, 2, 3))
    after, pruned = pruning.prune(before, sparsity=0.9)
    assert pruned.per_layer.keys() == {"0.weight", "2.weight"}
    for name, tensor in before.state_dict().items():
        kept = after.state_dict()[name]
        stays = kept != 0 if name in pruned.per_layer else torch.ones_like(kept, dtype=torch.bool)
        assert torch.equal(kept[stays], tensor[stays])


def test_equal_weights_are_pruned_in_a_fixed_order() -> None:
    """Where all weights are equal, exactly as many go, and the same ones each time."""
    model = torch.nn.Linear(10, 10)
    torch.nn.init.ones_(model.weight)
    made = [pruning.prune(model, sparsity=0.25) for _ in range(2)]
    assert made[0][1].zeros == 25
    assert torch.equal(made[0][0].weight, made[1][0].weight)


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
def test_a_sparsity_out_of_bounds_is_refused(sparsity: float) -> None:
    """All weights, more than all, and less than none cannot be pruned."""
    with pytest.raises(ValueError, match="not 0 or more and less than 1"):
        pruning.prune(net(), sparsity=sparsity)


def test_a_model_without_prunable_layers() -> None:
    """Nothing to prune is no division by zero: no weights, sparsity 0."""
    _, pruned = pruning.prune(torch.nn.Sequential(torch.nn.BatchNorm1d(3)), sparsity=0.5)
    assert (pruned.weights, pruned.zeros, pruned.sparsity, pruned.per_layer) == (0, 0, 0.0, {})


def test_fine_tuning_keeps_every_zero_and_mends_the_loss(data: Data, teacher: torch.nn.Module) -> None:
    """Zeros stay exactly zero, the others move, and the accuracy that pruning cost comes back."""
    pruned, record = pruning.prune(teacher, sparsity=0.6)
    damaged = training.accuracy(pruned, *data)
    tuned, fit = training.finetune(pruned, *data, RECIPE)
    after = pruning.measure(tuned)
    assert after.zeros == record.zeros
    assert after.per_layer == record.per_layer
    for index in (0, 4):
        assert torch.equal(tuned[index].weight == 0, pruned[index].weight == 0)
        assert not torch.equal(tuned[index].weight, pruned[index].weight)
    assert fit.accuracy > max(0.9, damaged)
