//! Reads `tests/fixtures/pytorch.json`: what PyTorch computes, frozen by `make_pytorch.py`.
//!
//! All of it is one batch (6 rows) through networks of two layers, 5-7-4:
//! hidden = σ(x·w1 + b1), logits = hidden·w2 + b2, output = σ(logits). Each result is there twice,
//! computed in float32 and in float64 from the same (float32) weights and data.
//!
//! | entry | holds |
//! |---|---|
//! | `x`, `labels`, `values`, `multi_hot`, `distributions`, `sample_weights` | the batch; a case's `target` names one of them |
//! | `nets` | `plain` and `maxout` (21 columns, the 3 units of a neuron side by side): `w1 b1 w2 b2`, weights n_in x n_out |
//! | `pointwise` | an element-wise activation at `z`: `a`, `derivative` |
//! | `cases` | `logits output loss`, gradients `dw1 db1 dw2 db2 dx` |
//! | `optimizers` | after 1, 2, 5, 20 steps: `w1 b1 w2 b2`, and the `loss` before the last of them |

use deltarule::{MatRef, Mlp};
use serde_json::Value;
use std::str::FromStr;

/// The whole file.
pub struct Fixtures(Value);

/// A name with parameters: an activation (`{"name": "elu", "alpha": 0.7}`), loss or optimiser.
#[derive(Clone, Copy, Debug)]
pub struct Spec<'a>(&'a Value);

/// Named tensors, in both precisions.
#[derive(Clone, Copy)]
pub struct Tensors<'a> {
    f32: &'a Value,
    f64: &'a Value,
}

/// One entry of `pointwise`.
pub struct Pointwise<'a> {
    pub activation: Spec<'a>,
    pub z: Vec<f32>,
    pub expected: Tensors<'a>,
}

/// One entry of `cases`, or the part that `optimizers` share with them.
pub struct Case<'a> {
    pub name: &'a str,
    /// The name of an entry of `nets`.
    pub net: &'a str,
    pub hidden: Spec<'a>,
    pub output: Spec<'a>,
    pub loss: Spec<'a>,
    /// `labels`, or the name of a matrix of the batch.
    pub target: &'a str,
    pub expected: Tensors<'a>,
}

/// One entry of `optimizers`; its case expects nothing.
pub struct OptimizerCase<'a> {
    pub case: Case<'a>,
    pub optimizer: Spec<'a>,
    /// Steps taken, and what the parameters are then.
    pub after: Vec<(usize, Tensors<'a>)>,
}

impl Fixtures {
    pub fn load() -> Self {
        let text = include_str!("../fixtures/pytorch.json");
        Fixtures(serde_json::from_str(text).expect("pytorch.json is JSON"))
    }

    /// `rows`, `n_in`, `hidden` or `n_out`.
    pub fn size(&self, name: &str) -> usize {
        field(&self.0, name).as_u64().expect("a size") as usize
    }

    pub fn labels(&self) -> Vec<usize> {
        tensor(&self.0, "labels")
    }

    /// `x`, `values`, `multi_hot`, `distributions` or `sample_weights`.
    pub fn data(&self, name: &str) -> Vec<f32> {
        tensor(&self.0, name)
    }

    /// `w1`, `b1`, `w2` or `b2` of a net, before training.
    pub fn parameter(&self, net: &str, name: &str) -> Vec<f32> {
        tensor(field(field(&self.0, "nets"), net), name)
    }

    /// Gives a network 5-7-4 the parameters of an entry of `nets`.
    pub fn set_parameters(&self, name: &str, net: &mut Mlp) {
        let sizes = ["n_in", "hidden", "n_out"].map(|layer| self.size(layer));
        for (layer, [w, b]) in [["w1", "b1"], ["w2", "b2"]].into_iter().enumerate() {
            let (w, b) = (self.parameter(name, w), self.parameter(name, b));
            let w = MatRef::new(&w, sizes[layer], sizes[layer + 1]).unwrap();
            net.set_parameters(layer, w, &b).unwrap();
        }
    }

    pub fn pointwise(&self) -> Vec<Pointwise<'_>> {
        let entry = |v| Pointwise {
            activation: Spec(field(v, "activation")),
            z: tensor(v, "z"),
            expected: Tensors { f32: field(v, "f32"), f64: field(v, "f64") },
        };
        array(&self.0, "pointwise").iter().map(entry).collect()
    }

    pub fn cases(&self) -> Vec<Case<'_>> {
        array(&self.0, "cases").iter().map(case).collect()
    }

    pub fn optimizers(&self) -> Vec<OptimizerCase<'_>> {
        let entry = |v| {
            let (f32, f64) = (field(v, "f32"), field(v, "f64"));
            let snapshot = |(steps, f64): (&String, _)| {
                let tensors = Tensors { f32: field(f32, steps), f64 };
                (steps.parse().expect("a number of steps"), tensors)
            };
            let mut after: Vec<_> = f64.as_object().expect("steps").iter().map(snapshot).collect();
            after.sort_by_key(|&(steps, _)| steps);
            OptimizerCase { case: case(v), optimizer: Spec(field(v, "optimizer")), after }
        };
        array(&self.0, "optimizers").iter().map(entry).collect()
    }
}

impl<'a> Spec<'a> {
    pub fn name(self) -> &'a str {
        field(self.0, "name").as_str().expect("a name")
    }

    pub fn has(self, parameter: &str) -> bool {
        self.0.get(parameter).is_some()
    }

    /// A parameter that must be there.
    #[track_caller]
    pub fn number(self, parameter: &str) -> f64 {
        field(self.0, parameter).as_f64().expect("a number")
    }

    /// A parameter that is a list, where it is there.
    pub fn numbers(self, parameter: &str) -> Option<Vec<f64>> {
        let list = self.0.get(parameter)?.as_array().expect("a list");
        Some(list.iter().map(|v| v.as_f64().expect("a number")).collect())
    }
}

impl Tensors<'_> {
    /// What PyTorch computed in float32.
    #[track_caller]
    pub fn f32(self, name: &str) -> Vec<f32> {
        tensor(self.f32, name)
    }

    /// What PyTorch computed in float64.
    #[track_caller]
    pub fn f64(self, name: &str) -> Vec<f64> {
        tensor(self.f64, name)
    }
}

fn case(v: &Value) -> Case<'_> {
    let text = |name| field(v, name).as_str().expect("text");
    let spec = |name| Spec(field(v, name));
    Case {
        name: text("name"),
        net: text("net"),
        hidden: spec("hidden"),
        output: spec("output"),
        loss: spec("loss"),
        target: text("target"),
        expected: Tensors { f32: field(v, "f32"), f64: field(v, "f64") },
    }
}

#[track_caller]
fn field<'a>(v: &'a Value, name: &str) -> &'a Value {
    v.get(name).unwrap_or_else(|| panic!("pytorch.json: no {name:?} here"))
}

fn array<'a>(v: &'a Value, name: &str) -> &'a [Value] {
    field(v, name).as_array().expect("a list")
}

/// Numbers as decimal text: the standard library reads them back to the very same bits.
#[track_caller]
fn tensor<T: FromStr>(v: &Value, name: &str) -> Vec<T> {
    let text = field(v, name).as_str().expect("numbers in a string");
    text.split_ascii_whitespace()
        .map(|number| number.parse().unwrap_or_else(|_| panic!("{name}: {number:?}")))
        .collect()
}
