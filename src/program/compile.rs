//! What a network does, as one list of operations.
//!
//! A [`Program`] is compiled from a network once. Predictions, evaluations and phase 1 of a training
//! step walk its operations forwards; the backward pass walks them in reverse.

use super::ops::{
    Affine, Buffer, INPUTS, InputGradient, Norm, Op, Output, Outputs, Parameters, Product, Shape,
};
use super::stages::{Stage, stages};
use crate::activation::{Activation, Keeps};
use crate::network::{Layer, LayerKind, Mlp, NormKind};

/// A network as a list of operations.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) ops: Vec<Op>,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) output: Output,
    /// ∂L/∂inputs of the network: the backward pass writes it where it is wanted only.
    pub(crate) dx: Buffer,
    /// The outputs of each layer.
    pub(crate) outputs: Vec<Buffer>,
    /// One entry per layer.
    pub(crate) parameters: Vec<Parameters>,
    /// What a training step does between the points where all rows of a batch must have met.
    pub(crate) stages: Vec<Stage>,
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

    /// The number of operations before the first one of a layer: those that make the layer's inputs. 0 for
    /// the first layer.
    pub(crate) fn n_before(&self, layer: usize) -> usize {
        let is_first = |op: &Op| op.parameters_of() == Some(layer);
        if layer == 0 { 0 } else { self.ops.iter().position(is_first).unwrap_or(0) }
    }

    /// The product that reads the inputs of the network, if that is the first layer.
    pub(crate) fn first_product(&self) -> Option<&Product> {
        self.ops.iter().filter_map(Op::product).find(|product| product.x == INPUTS)
    }
}

/// The outputs of a layer.
#[derive(Clone, Copy)]
struct LayerOutputs {
    a: Buffer,
    /// ∂L/∂a. It stays here until the layers below that a residual connection begins at have taken it.
    g: Buffer,
    /// The gradient behind dropout and residual connection.
    inner: Buffer,
}

struct Compiler<'a> {
    net: &'a Mlp,
    outputs: Outputs,
    ops: Vec<Op>,
    shapes: Vec<Shape>,
    parameters: Vec<Parameters>,
    /// The outputs of each layer, and how gradients reach them; the inputs of the network first.
    values: Vec<(Buffer, InputGradient)>,
    /// ∂L/∂outputs of the layers at which residual connections end.
    ends: Vec<Option<Buffer>>,
}

impl Compiler<'_> {
    fn buffer(&mut self, width: usize, n: usize) -> Buffer {
        self.shapes.push(Shape { width, n });
        Buffer(self.shapes.len() - 1)
    }

    fn run(mut self) -> Program {
        let [inputs, dx] = [(); 2].map(|()| self.buffer(self.net.n_in(), 1));
        // Ends first: a branch names the gradient of an end that comes later.
        for (i, layer) in self.net.layers.iter().enumerate() {
            if layer.spec.residual > 0 {
                self.ends[i] = Some(self.buffer(layer.n_out(), 1));
            }
        }
        let (rate, a) = (self.net.input_dropout, inputs);
        if rate > 0.0 {
            self.ops.push(Op::Dropout { layer: 0, rate, a, g: dx });
        }
        self.branches(0, dx);
        let (kept, activation) = (inputs, Activation::Identity);
        self.values.push((inputs, InputGradient { out: dx, kept, activation }));
        let mut output = None;
        for i in 0..self.net.layers.len() {
            output = Some(match self.net.layers[i].spec.kind {
                LayerKind::Dense { activation, .. } => self.dense(i, activation),
                LayerKind::Affine => self.affine(i),
            });
        }
        self.link_products();
        let stages = stages(&self.ops);
        let Some(output) = output else { unreachable!("a network has a layer") };
        let outputs = self.values.iter().skip(1).map(|(a, _)| *a).collect();
        let Compiler { ops, shapes, parameters, .. } = self;
        Program { ops, shapes, output, dx, outputs, parameters, stages }
    }

    /// The layers at which residual connections from the inputs of layer `i` end.
    fn ends_of(&self, i: usize) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let ends: Vec<_> = self.net.layers.iter().map(|layer| layer.spec.residual).collect();
        let is_end = move |to: &usize| ends[*to] > 0 && i + ends[*to] == *to + 1;
        (i..self.net.layers.len()).filter(is_end)
    }

    /// The reverse of residual connections that begin at the inputs of layer `i`, whose gradient is `g`.
    fn branches(&mut self, i: usize, g: Buffer) {
        // Walked in reverse: the first end comes last in the list.
        let ends: Vec<_> = self.ends_of(i).rev().filter_map(|end| self.ends[end]).collect();
        self.ops.extend(ends.into_iter().map(|from| Op::Branch { g, from }));
    }

    fn dense(&mut self, i: usize, activation: Activation) -> Output {
        let net = self.net;
        let layer = &net.layers[i];
        let (n_out, units) = (layer.n_out(), activation.units());
        let Layer { norm, residual, .. } = layer.spec;
        let has_z = norm.is_some() || units > 1;
        let (x, dx) = self.values[i];
        let a = self.buffer(n_out, 1);
        let d = self.buffer(n_out, units);
        // σ(z) as it was before dropout and residual connection, or z: what the derivative needs.
        let z = (activation.keeps() == Keeps::Input).then(|| self.buffer(n_out, 1));
        let saved = needs_copy(&layer.spec).then(|| self.buffer(n_out, 1));
        let kept = saved.or(z).unwrap_or(a);
        let own = if has_z { None } else { Some(d) };
        let outputs = self.outputs_of(i, a, own);
        let LayerOutputs { g, inner, .. } = outputs;
        let is_source = self.ends_of(i + 1).next().is_some();
        let is_in_store = !(has_z || is_source || residual > 0);
        let is_output = i + 1 == net.layers.len();
        // The loss takes logits; softmax is left to it or to the caller, maxout is another operation.
        let is_logits = is_output && self.outputs == Outputs::Logits;
        let elementwise = match activation.properties().is_elementwise && !is_logits {
            true => activation,
            false => Activation::Identity,
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
        self.parameters.push(Parameters { weights: Some((x, d)), vectors });
        self.ops.extend(saved.map(|to| Op::Keep { from: a, to }));
        self.finish(i, outputs);
        let below = match is_in_store {
            true => InputGradient { out: d, kept, activation },
            false => InputGradient { out: g, kept: a, activation: Activation::Identity },
        };
        self.values.push((a, below));
        Output { a, z, d, is_logits }
    }

    fn affine(&mut self, i: usize) -> Output {
        let n_out = self.net.layers[i].n_out();
        let (x, dx) = self.values[i];
        let [a, d, gx] = [(); 3].map(|()| self.buffer(n_out, 1));
        let outputs = self.outputs_of(i, a, Some(d));
        self.ops.push(Op::Affine(Affine { layer: i, x, y: a, g: d, gx, dx }));
        self.parameters.push(Parameters { weights: None, vectors: vec![gx, d] });
        self.finish(i, outputs);
        let (out, activation) = (outputs.g, Activation::Identity);
        self.values.push((a, InputGradient { out, kept: a, activation }));
        Output { a, z: None, d, is_logits: false }
    }

    /// The gradients of the outputs `a` of layer `i`. `inner` is the buffer of the one behind dropout
    /// and residual connection, where the layer has one for it.
    fn outputs_of(&mut self, i: usize, a: Buffer, inner: Option<Buffer>) -> LayerOutputs {
        let n_out = self.net.layers[i].n_out();
        let g = self.ends[i].or(inner).unwrap_or_else(|| self.buffer(n_out, 1));
        let inner = match self.ends[i] {
            None => g,
            Some(_) => inner.unwrap_or_else(|| self.buffer(n_out, 1)),
        };
        LayerOutputs { a, g, inner }
    }

    /// What follows in every kind of layer: dropout, and where residual connections end and begin.
    fn finish(&mut self, i: usize, LayerOutputs { a, g, inner }: LayerOutputs) {
        let Layer { kind: _, norm: _, dropout, residual } = self.net.layers[i].spec;
        if dropout > 0.0 {
            let (layer, rate) = (i + 1, dropout);
            self.ops.push(Op::Dropout { layer, rate, a, g: inner });
        }
        if residual > 0 {
            let from = self.values[i + 1 - residual].0;
            self.ops.push(Op::Add { from, a, g, inner });
        }
        self.branches(i + 1, g);
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
