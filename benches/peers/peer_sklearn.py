"""scikit-learn: MLPClassifier, one partial_fit a step, predict_proba."""

from common import MOMENTUM, make_batches, measure, parse_args

args = parse_args()

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier

workload = args.workload
classes = np.arange(workload.layers[-1])
model = MLPClassifier(
    workload.layers[1:-1],
    activation={"sigmoid": "logistic"}.get(workload.activation, workload.activation),
    solver="adam" if workload.optimizer == "adam" else "sgd",
    momentum=MOMENTUM if workload.optimizer == "momentum" else 0.0,
    nesterovs_momentum=False,
    learning_rate_init=workload.learning_rate,
    alpha=0.0,
    batch_size=args.rows,
)
batches = make_batches(args)


def step(i):
    model.partial_fit(*batches[i % len(batches)], classes=classes)


def predict(_):
    model.predict_proba(batches[0][0])


step(0)
measure(args, "sklearn", "numpy", sklearn.__version__, step if args.mode == "train" else predict)
