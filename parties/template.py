"""The ``config.toml`` that ``assistlearn init`` writes for a person to edit."""

from string import Template
from typing import Final

from protocols.roles import Role

CONFIG: Final = Template("""\
# assistlearn, settings of one party. `assistlearn doctor DIR` checks them.
role = "$role"
$own
# What both parties settle and sign: this table must read the same on both sides.
[terms]
task = "my-task"             # a name for what is trained
loss = "cross_entropy"       # the loss per example that both tasks return
rounds = 3                   # assistance rounds, at most
total_steps = 400            # optimiser updates a round, shared by data size
sampling_period = 50         # updates between two checkpoints that are sent
sampling = "even"            # or "doubling": sent after 50, 100, 200, 400, ... updates
loss_precision = "coarse"    # how finely losses are told: exact, coarse or private
# loss_noise = 0.02          # needed by private: deviation of the noise on a mean loss, in nats
weighting = "samples"        # or "parties", which hides how much data each side has
round_bytes = 1_000_000_000  # what either party may send in one round
price = 0                    # of one round, in hundredths of the currency: 5000 is 50.00
currency = "EUR"
budget = 0                   # what the learner spends at most, in hundredths too

# Our own model, data and training. The model must be the same on both sides; data never leave.
[task]
factory = "assistlearn.tasks:table"  # or your own "package.module:function"
device = "auto"                      # auto, cpu, cuda, mps
precision = "float32"                # or bfloat16
seed = 0

[task.settings]              # what the factory takes
train = "train.csv"          # CSV or Parquet; relative to where you type the command
target = "label"             # the column to predict
# test = "test.csv"          # held out, for the accuracy that you are shown; never sent
# task = "regression"        # with loss = "mse" above
# features = ["age", "bmi"]  # columns to use, in this order; all but the target if absent
# classes = [0, 1]           # all classes, the same on both sides, even if one lacks some
# mean = { age = 54.0, bmi = 27.1 }  # subtracted from these columns, alike on both sides
# std = { age = 11.5, bmi = 4.8 }    # and they are divided by it afterwards
model = "mlp"
optimizer = "SGD"            # any optimiser of torch.optim
optimizer_settings = { lr = 0.05, momentum = 0.9 }
batch_size = 32

[link]
$link
deadline_s = 30              # without a sign of life for so long, the link counts as lost
""")
LEARNER: Final = """\
# Buy no further round once one lowers the global loss by less than this, in nats. Judged from
# round 2 on: at least two rounds are bought, unless one ends without a finite global loss.
# minimum_gain = 0.01
"""


def config_text(role: Role) -> str:
    """The settings file of a new party."""
    if role is Role.LEARNER:
        link = 'provider = "tcp://localhost:7733"  # where the provider listens'
        return CONFIG.substitute(role=role.value, own=LEARNER, link=link)
    link = 'listen = "tcp://*:7733"\nsessions = 4                 # learners served at once'
    return CONFIG.substitute(role=role.value, own="", link=link)
