"""Parts that a user might write: one that gives just what is needed, and many that do not."""

import torch
from torch import nn

from vit.structures import Features, Grid


class Net(nn.Module):
    """All that an own backbone needs."""

    def __init__(self, image_size, channels, width=16):
        super().__init__()
        self.dim, self.patch_size = width, 8
        self.stem = nn.Conv2d(channels, width, 8, 8)
        self.body = nn.Linear(width, width)

    def tokens(self, images):
        return self.body(self.stem(images).flatten(2).transpose(1, 2))

    def forward(self, images):
        x = self.tokens(images)
        rows, cols = (side // 8 for side in images.shape[-2:])
        return Features(x, Grid(rows, cols), x[:, :0])


class NoDim(Net):
    def __init__(self, image_size, channels):
        super().__init__(image_size, channels)
        del self.dim, self.patch_size


class WrongKinds(Net):
    def __init__(self, image_size, channels):
        super().__init__(image_size, channels)
        self.dim, self.num_prefix, self.flops = "16", -1, 5


class NoModule:
    def __init__(self, image_size, channels):
        self.dim, self.patch_size = 16, 8


class NoForward(nn.Module):
    def __init__(self, image_size, channels):
        super().__init__()
        self.dim, self.patch_size = 16, 8


class GivesATensor(Net):
    def forward(self, images):
        return self.tokens(images)


class GivesNothing(Net):
    def forward(self, images):
        self.tokens(images)


class WrongWidth(Net):
    def forward(self, images):
        x = self.tokens(images)
        return Features(torch.cat([x, x], -1), Grid(4, 4), x[:, :0])


class WrongGrid(Net):
    def forward(self, images):
        x = self.tokens(images)
        return Features(x, Grid(2, 8), x[:, :0])


class NoGrid(Net):
    def forward(self, images):
        x = self.tokens(images)
        return Features(x, 16, x[:, :0])


class HiddenPrefix(Net):
    def forward(self, images):
        x = self.tokens(images)
        return Features(x, Grid(4, 4), x[:, :1])


class WholeNumbers(Net):
    def forward(self, images):
        x = self.tokens(images).long()
        return Features(x, Grid(4, 4), x[:, :0])


class Raises(Net):
    def forward(self, images):
        return self.nothing_of_this_name(images)


class Indexes(Net):
    def forward(self, images):
        return [][3]


class WrongDepths(Net):
    def depths(self):
        return {"stem.weight": 0}


class WrongUndecayed(Net):
    def no_weight_decay(self):
        return ["stem.bias"]


class FlopsRaise(Net):
    def flops(self, height, width):
        return self.counts[height]


class NoImages(Net):
    def __init__(self):
        super().__init__((32, 32), 1)


class Head(nn.Module):
    """All that an own head for classes needs."""

    def __init__(self, dim, num_classes):
        super().__init__()
        self.linear = nn.Linear(dim, num_classes)

    def forward(self, features):
        return self.linear(features.patches.mean(1))


class HeadOfOneClass(Head):
    def __init__(self, dim, num_classes):
        super().__init__(dim, 1)


class HeadRaises(Head):
    def forward(self, features):
        return features.tokens


class HeadTakesNothing(nn.Module):
    def __init__(self):
        super().__init__()


class HeadNoModule:
    def __init__(self, dim, num_classes):
        self.dim = dim


class Optim:
    """All that an own optimizer needs."""

    def build(self, model):
        return torch.optim.SGD(model.parameters(), lr=0.1)


class OptimBuildsNothing:
    pass


class OptimGivesNone(Optim):
    def build(self, model):
        return None


class OptimForgets(Optim):
    def build(self, model):
        return torch.optim.SGD(model.head.parameters(), lr=0.1)


class OptimRaises(Optim):
    def build(self, model):
        return model.optimizers[0]


class Schedule:
    def scale(self, step, total_steps, steps_per_epoch):
        return 1.0


class ScheduleNone(Schedule):
    def scale(self, step, total_steps, steps_per_epoch):
        return None


class ScheduleNan(Schedule):
    def scale(self, step, total_steps, steps_per_epoch):
        return float("nan")


class ScheduleRaises(Schedule):
    def scale(self, step, total_steps, steps_per_epoch):
        return 1 / 0


class ScheduleWithout:
    pass


class TaskOfNoKind:
    pass
