//! What a network does, as one list of operations with the buffers that each reads and writes.
//!
//! A [`Program`] is compiled from a network once. Predictions, evaluations and phase 1 of a training
//! step walk its operations forwards; the backward pass walks them in reverse. Every operation names
//! its values and the gradients of these, so that it can be run in both directions:
//!
//! ```text
//! x ─ product ─ z ─ norm or maxout ─ y ─ activation ─ a ─ dropout ─ add ─ a of the layer
//! ```
//!
//! In both directions what can run in the store of a product does: the activation of a layer without
//! norm, and the derivative of the activation below.

use crate::activation::{Activation, Keeps};
use crate::network::{Layer, LayerKind, Mlp, NormKind};
use crate::simd::LINE;

/// A matrix with a row per row of the batch: its number in [`Program::shapes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer(pub(crate) usize);

/// The inputs of the network.
pub(crate) const INPUTS: Buffer = Buffer(0);

/// `n` matrices of `width` columns side by side, each of which begins with a panel of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) width: usize,
    pub(crate) n: usize,
}

impl Shape {
    /// Columns in memory.
    pub(crate) fn cols(self) -> usize {
        if self.n == 1 { self.width } else { self.width.next_multiple_of(LINE) * self.n }
    }
}

/// How ∂L/∂x of an operation reaches the values below: `out` = ∂L/∂x ⊙ σ′(kept).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct InputGradient {
    pub(crate) out: Buffer,
    /// What the derivative of `activation` is made of.
    pub(crate) kept: Buffer,
    /// The identity, where something lies between the activation and these values.
    pub(crate) activation: Activation,
}

/// out = σ(x·W + b)
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Product {
    pub(crate) layer: usize,
    pub(crate) x: Buffer,
    pub(crate) out: Buffer,
    /// Where x·W + b goes in training, for activations whose derivative needs it.
    pub(crate) z: Option<Buffer>,
    pub(crate) activation: Activation,
    /// ∂L/∂(x·W + b)
    pub(crate) d: Buffer,
    /// Where `d` is ∂L/∂out when the backward pass comes here: what σ′ is made of.
    pub(crate) derivative: Option<Buffer>,
    /// None for the inputs of the network, whose gradient nobody needs.
    pub(crate) dx: Option<InputGradient>,
    /// The layer whose product reads `out` as it is stored here, and stores `d` as it is read here.
    pub(crate) above: Option<usize>,
    /// The layer of which this one is the layer above.
    pub(crate) below: Option<usize>,
}

/// y = γ ⊙ ẑ + β; `z` becomes ẑ, and backward g ⊙ ẑ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Norm {
    pub(crate) layer: usize,
    pub(crate) z: Buffer,
    pub(crate) y: Buffer,
    /// ∂L/∂y
    pub(crate) g: Buffer,
    /// ∂L/∂z
    pub(crate) d: Buffer,
}

/// A step forwards, and its reverse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Op {
    Product(Product),
    /// Normalises each row; `scales` is what each was multiplied by.
    LayerNorm {
        norm: Norm,
        scales: Buffer,
    },
    /// Normalises each column: all rows must have met before, in both directions.
    BatchNorm(Norm),
    /// a = the largest unit of z.
    Maxout {
        z: Buffer,
        a: Buffer,
        g: Buffer,
        d: Buffer,
    },
    /// a = σ(a), in place; `kept` is what σ′ is made of.
    Activation {
        activation: Activation,
        a: Buffer,
        kept: Buffer,
        g: Buffer,
    },
    /// `to` = `from`, for the backward pass.
    Keep {
        from: Buffer,
        to: Buffer,
    },
    /// Drops values of `a`, in place. Layer 0 is the inputs, which have no gradient.
    Dropout {
        layer: usize,
        rate: f32,
        a: Buffer,
        g: Option<Buffer>,
    },
    /// a += from; backward `inner` = `g` where they differ.
    Add {
        from: Buffer,
        a: Buffer,
        g: Buffer,
        inner: Buffer,
    },
    /// Values that residual connections end at `to` take: backward `g` += `from`.
    Branch {
        g: Buffer,
        from: Buffer,
    },
}

/// What the gradients of a layer's parameters are made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameters {
    /// x and d of xᵀ·d, the gradient of the weights.
    pub(crate) weights: (Buffer, Buffer),
    /// The column sums of these are the gradients of the layer's vectors.
    pub(crate) vectors: Vec<Buffer>,
}

/// The outputs of the network, for the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Output {
    /// Values of the output layer; logits where its activation is left to the loss.
    pub(crate) a: Buffer,
    pub(crate) z: Option<Buffer>,
    /// ∂L/∂z of the output layer.
    pub(crate) d: Buffer,
}

/// What a forward pass leaves of the output layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outputs {
    /// Its activation's values; logits for softmax, which is the caller's.
    OfLayer,
    /// Logits, whatever the activation.
    Logits,
}

/// A network as a list of operations.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) ops: Vec<Op>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) output: Output,
    /// The outputs of each layer.
    pub(crate) outputs: Vec<Buffer>,
    /// One entry per layer.
    pub(crate) parameters: Vec<Parameters>,
    /// The operations before which all rows of a batch have met.
    pub(crate) joins: Vec<usize>,
}

impl Program {
    pub(crate) fn new(net: &Mlp, outputs: Outputs) -> Program {
        let compiler = Compiler {
            net,
            outputs,
            ops: Vec::new(),
            shapes: Vec::new(),
            parameters: Vec::new(),
            values: Vec::new(),
            ends: vec![None; net.layers.len()],
        };
        compiler.run()
    }

    /// What a prediction does: dropout and what is kept for a backward pass is left out.
    pub(crate) fn inference(&self) -> impl DoubleEndedIterator<Item = &Op> + Clone {
        self.ops.iter().filter(|op| match op {
            Op::Keep { .. } | Op::Dropout { .. } | Op::Branch { .. } => false,
            Op::Product(_)
            | Op::LayerNorm { .. }
            | Op::BatchNorm(_)
            | Op::Maxout { .. }
            | Op::Activation { .. }
            | Op::Add { .. } => true,
        })
    }

    /// Whether products are all that a prediction does.
    pub(crate) fn is_products(&self) -> bool {
        self.inference().all(|op| matches!(op, Op::Product(_)))
    }

    /// Whether something but a product reads the inputs.
    pub(crate) fn needs_inputs_in_panels(&self) -> bool {
        self.inference()
            .any(|op| !matches!(op, Op::Product(_)) && op.reads().contains(&Some(INPUTS)))
    }

    /// The product that reads the inputs of the network, if that is the first layer.
    pub(crate) fn first_product(&self) -> Option<&Product> {
        self.ops.iter().find_map(|op| match op {
            Op::Product(product) if product.x == INPUTS => Some(product),
            _ => None,
        })
    }
}

impl Op {
    /// The values that it reads when it runs forwards.
    pub(crate) fn reads(&self) -> [Option<Buffer>; 2] {
        match *self {
            Op::Product(Product { x, .. }) => [Some(x), None],
            Op::LayerNorm { norm: Norm { z, .. }, .. } | Op::BatchNorm(Norm { z, .. }) => {
                [Some(z), None]
            }
            Op::Maxout { z, .. } => [Some(z), None],
            Op::Activation { a, .. } | Op::Dropout { a, .. } => [Some(a), None],
            Op::Keep { from, .. } => [Some(from), None],
            Op::Add { from, a, .. } => [Some(from), Some(a)],
            Op::Branch { .. } => [None, None],
        }
    }

    /// The values that it makes when a prediction runs it; those of training alone are not among
    /// them.
    pub(crate) fn makes(&self) -> [Option<Buffer>; 2] {
        match *self {
            Op::Product(Product { out, .. }) => [Some(out), None],
            Op::LayerNorm { norm: Norm { y, .. }, scales } => [Some(y), Some(scales)],
            Op::BatchNorm(Norm { y, .. }) => [Some(y), None],
            Op::Maxout { a, .. } => [Some(a), None],
            Op::Activation { .. }
            | Op::Keep { .. }
            | Op::Dropout { .. }
            | Op::Add { .. }
            | Op::Branch { .. } => [None, None],
        }
    }
}

struct Compiler<'a> {
    net: &'a Mlp,
    outputs: Outputs,
    ops: Vec<Op>,
    shapes: Vec<Shape>,
    parameters: Vec<Parameters>,
    /// The outputs of each layer, and how gradients reach them; the inputs of the network first.
    values: Vec<(Buffer, Option<InputGradient>)>,
    /// ∂L/∂outputs of the layers at which residual connections end.
    ends: Vec<Option<Buffer>>,
}

impl Compiler<'_> {
    fn buffer(&mut self, width: usize, n: usize) -> Buffer {
        self.shapes.push(Shape { width, n });
        Buffer(self.shapes.len() - 1)
    }

    fn run(mut self) -> Program {
        let inputs = self.buffer(self.net.n_in(), 1);
        let (rate, a) = (self.net.input_dropout, inputs);
        if rate > 0.0 {
            self.ops.push(Op::Dropout { layer: 0, rate, a, g: None });
        }
        self.values.push((inputs, None));
        // Ends first: a branch names the gradient of an end that comes later.
        for (i, layer) in self.net.layers.iter().enumerate() {
            if layer.spec.residual > 0 {
                self.ends[i] = Some(self.buffer(layer.n_out(), 1));
            }
        }
        let mut output = None;
        for i in 0..self.net.layers.len() {
            output = Some(match self.net.layers[i].spec.kind {
                LayerKind::Dense { activation, .. } => self.dense(i, activation),
            });
        }
        self.link_products();
        let is_join = |i: &usize| matches!(self.ops[*i], Op::BatchNorm(_));
        let joins = (0..self.ops.len()).filter(is_join).collect();
        let Some(output) = output else { unreachable!("a network has a layer") };
        let outputs = self.values.iter().skip(1).map(|(a, _)| *a).collect();
        let Compiler { ops, shapes, parameters, .. } = self;
        Program { ops, shapes, output, outputs, parameters, joins }
    }

    /// The layers at which residual connections from the outputs of layer `i` end.
    fn ends_of(&self, i: usize) -> impl Iterator<Item = usize> + use<> {
        let ends: Vec<_> = self.net.layers.iter().map(|layer| layer.spec.residual).collect();
        let is_end = move |to: &usize| ends[*to] > 0 && i + ends[*to] == *to;
        (i + 1..self.net.layers.len()).filter(is_end)
    }

    fn dense(&mut self, i: usize, activation: Activation) -> Output {
        let net = self.net;
        let layer = &net.layers[i];
        let (n_out, units) = (layer.n_out(), activation.units());
        let Layer { kind: _, norm, dropout, residual } = layer.spec;
        let has_z = norm.is_some() || units > 1;
        let (x, dx) = self.values[i];
        let a = self.buffer(n_out, 1);
        let d = self.buffer(n_out, units);
        // σ(z) as it was before dropout and residual connection, or z: what the derivative needs.
        let z = (activation.keeps() == Keeps::Input).then(|| self.buffer(n_out, 1));
        let saved = needs_copy(&layer.spec).then(|| self.buffer(n_out, 1));
        let kept = saved.or(z).unwrap_or(a);
        // Gradients of the outputs arrive in `g`, and stay there until the branches below have taken
        // them; `inner` is the one behind dropout and activation.
        let g = match self.ends[i] {
            Some(end) => end,
            None if has_z => self.buffer(n_out, 1),
            None => d,
        };
        let inner = match (self.ends[i], has_z) {
            (None, _) => g,
            (Some(_), true) => self.buffer(n_out, 1),
            (Some(_), false) => d,
        };
        let is_source = self.ends_of(i).next().is_some();
        let is_in_store = !(has_z || is_source || residual > 0);
        let is_output = i + 1 == net.layers.len();
        let elementwise = match activation {
            // Softmax is left to the loss or to the caller, maxout is an operation of its own.
            Activation::Softmax | Activation::Maxout { .. } => Activation::Identity,
            _ if is_output && self.outputs == Outputs::Logits => Activation::Identity,
            other => other,
        };
        let mut product = Product {
            layer: i,
            x,
            out: a,
            z: None,
            activation: Activation::Identity,
            d,
            derivative: None,
            dx,
            above: None,
            below: None,
        };
        let mut vectors = vec![d];
        if has_z {
            product.out = self.buffer(n_out, units);
            let out = product.out;
            self.ops.push(Op::Product(product));
            self.above_z(i, Norm { layer: i, z: out, y: a, g: inner, d });
            if norm.is_some() {
                vectors.extend([out, inner]);
                self.ops.extend(z.map(|to| Op::Keep { from: a, to }));
                self.ops.push(Op::Activation { activation: elementwise, a, kept, g: inner });
            }
        } else {
            (product.activation, product.z) = (elementwise, z);
            // The store of the product above takes the derivative where nothing lies between. The
            // loss takes that of the output layer.
            product.derivative = (!is_in_store && !is_output).then_some(kept);
            self.ops.push(Op::Product(product));
        }
        self.parameters.push(Parameters { weights: (x, d), vectors });
        self.ops.extend(saved.map(|to| Op::Keep { from: a, to }));
        if dropout > 0.0 {
            let (layer, rate) = (i + 1, dropout);
            self.ops.push(Op::Dropout { layer, rate, a, g: Some(inner) });
        }
        if residual > 0 {
            let from = self.values[i + 1 - residual].0;
            self.ops.push(Op::Add { from, a, g, inner });
        }
        // Walked in reverse: the first end comes last in the list.
        let ends: Vec<_> = self.ends_of(i).collect();
        let ends = ends.into_iter().rev().filter_map(|end| self.ends[end]);
        self.ops.extend(ends.map(|from| Op::Branch { g, from }));
        let below = match is_in_store {
            true => InputGradient { out: d, kept, activation },
            false => InputGradient { out: g, kept: a, activation: Activation::Identity },
        };
        self.values.push((a, Some(below)));
        Output { a, z, d }
    }

    /// From z to what goes into the activation, or to the outputs of maxout.
    fn above_z(&mut self, i: usize, norm: Norm) {
        let op = match self.net.layers[i].spec.norm {
            Some(NormKind::Layer) => Op::LayerNorm { norm, scales: self.buffer(1, 1) },
            Some(NormKind::Batch) => Op::BatchNorm(norm),
            None => Op::Maxout { z: norm.z, a: norm.y, g: norm.g, d: norm.d },
        };
        self.ops.push(op);
    }

    /// Marks products that follow each other, with nothing between in either direction.
    fn link_products(&mut self) {
        for i in 1..self.ops.len() {
            if let [Op::Product(below), Op::Product(above)] = &mut self.ops[i - 1..=i] {
                (below.above, above.below) = (Some(above.layer), Some(below.layer));
            }
        }
    }
}

/// Whether σ(z) must be copied for the backward pass, because dropout or a residual connection changes
/// the outputs. Of what survives dropout the sign is left, and the rest has no gradient.
fn needs_copy(layer: &Layer) -> bool {
    let activation = layer.activation();
    let by_sign = matches!(activation, Activation::Relu | Activation::LeakyRelu { .. });
    let by_output = activation.keeps() == Keeps::Output
        && activation != Activation::Identity
        && activation.units() == 1;
    by_output && (layer.residual > 0 || layer.dropout > 0.0 && !by_sign)
}
