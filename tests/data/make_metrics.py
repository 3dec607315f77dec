"""Prints scikit-learn's values for the tests of src/metrics/, as the Rust they stand in.

    pip install scikit-learn
    python tests/data/make_metrics.py
"""

import numpy as np
from sklearn import metrics as m

truth = np.array([(i * i + i // 7) % 4 for i in range(60)])
predicted = np.array([(i * i + i // 5) % 4 for i in range(60)])
scores = np.array(
    [[((i * 37 + c * 101 + i * c * 13) % 61 + 1) / 8 for c in range(4)] for i in range(60)],
    dtype=np.float32,
)

print("confusion.rs")
kinds = [(f"confusion.scores({c})", c) for c in range(5)]
kinds += [("confusion.macro_scores()", "macro"), ("confusion.weighted_scores()", "weighted")]
each = m.precision_recall_fscore_support(truth, predicted, labels=range(5), zero_division=0)
for call, kind in kinds:
    if isinstance(kind, int):
        p, r, f, s = (part[kind] for part in each)
    else:
        # Over the classes that occur: class 4 does not.
        p, r, f, _ = m.precision_recall_fscore_support(
            truth, predicted, average=kind, zero_division=0
        )
        s = len(truth)
    print(f"        close({call}, [{float(p)!r}, {float(r)!r}, {float(f)!r}], {s});")

print(f"balanced accuracy {m.balanced_accuracy_score(truth, predicted)!r}")
gaps = [1, 2, 3, 5, 6, 7, 7, 5, 3, 1], [1, 2, 3, 5, 8, 7, 6, 5, 1, 1]
print(m.precision_recall_fscore_support(*gaps, average="macro", zero_division=0))
print(m.balanced_accuracy_score(*gaps))

print("probability.rs")
# scikit-learn breaks ties towards the higher class, we towards the lower: nudge the scores.
nudged = scores.astype(np.float64) - 1e-6 * np.arange(4)
top = [float(m.top_k_accuracy_score(truth, nudged, k=k, labels=range(4))) for k in range(1, 4)]
print(f"        assert_eq!(top, {top + [1.0]});")
# One column against the rest is `multi_class="ovr"` without its demand that rows sum to one.
ovr = np.mean([m.roc_auc_score(truth == c, scores[:, c]) for c in range(4)])
print(f"        assert!((auc - {float(ovr)!r}).abs() < 1e-15, \"{{auc}}\");")
auc = m.roc_auc_score(truth == 1, np.floor(scores[:, 1] * 8 % 7))
print(f"        assert!((auc - {float(auc)!r}).abs() < 1e-15, \"{{auc}}\");")
probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
assert probabilities.dtype == np.float32
loss = m.log_loss(truth, probabilities.astype(np.float64))
print(f"        assert!((loss - {float(loss)!r}).abs() < 1e-14, \"{{loss}}\");")

print("regression.rs")
truth = np.array([((i * 37) % 23) / 8 for i in range(60)])
predicted = np.array([((i * 37) % 23 + (i * i) % 5) / 8 for i in range(60)])
for call, value in [
    ("mean_squared_error(&truth, &predicted)", m.mean_squared_error(truth, predicted)),
    ("mean_absolute_error(&truth, &predicted)", m.mean_absolute_error(truth, predicted)),
    ("r2(&truth, &predicted, 1)", m.r2_score(truth, predicted)),
    ("r2(&truth, &predicted, 3)", m.r2_score(truth.reshape(20, 3), predicted.reshape(20, 3))),
]:
    print(f"        close({call}, {float(value)!r});")
