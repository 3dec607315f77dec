//! The operations of a network, each with the buffers that it reads and writes.
//!
//! Every operation names its values and the gradients of these, so that it can be run in both
//! directions:
//!
//! ```text
//! x ─ product ─ z ─ norm or maxout ─ y ─ activation ─ a ─ dropout ─ add ─ a of the layer
//! ```
//!
//! In both directions what can run in the store of a product does: the activation of a layer without
//! norm, and the derivative of the activation below.

use crate::activation::Activation;
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
    pub(crate) dx: InputGradient,
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

/// y = γ ⊙ x + β
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Affine {
    pub(crate) layer: usize,
    pub(crate) x: Buffer,
    pub(crate) y: Buffer,
    /// ∂L/∂y
    pub(crate) g: Buffer,
    /// g ⊙ x
    pub(crate) gx: Buffer,
    pub(crate) dx: InputGradient,
}

/// A step forwards, and its reverse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Op {
    Product(Product),
    Affine(Affine),
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
    /// Drops values of `a`, in place. Layer 0 is the inputs.
    Dropout {
        layer: usize,
        rate: f32,
        a: Buffer,
        g: Buffer,
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
    /// x and d of xᵀ·d, the gradient of the weights; none for a layer without weights.
    pub(crate) weights: Option<(Buffer, Buffer)>,
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
    /// Whether `a` holds logits, which the loss takes.
    pub(crate) is_logits: bool,
}

/// What a forward pass leaves of the output layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outputs {
    /// Its activation's values; logits for softmax, which is the caller's.
    OfLayer,
    /// Logits, whatever the activation.
    Logits,
}

impl Op {
    /// The product, if it is one.
    pub(crate) fn product(&self) -> Option<&Product> {
        if let Op::Product(product) = self { Some(product) } else { None }
    }

    /// The layer whose parameters it is the first to read, if it is a product or an affine map.
    pub(crate) fn parameters_of(&self) -> Option<usize> {
        match *self {
            Op::Product(Product { layer, .. }) | Op::Affine(Affine { layer, .. }) => Some(layer),
            Op::LayerNorm { .. }
            | Op::BatchNorm(_)
            | Op::Maxout { .. }
            | Op::Activation { .. }
            | Op::Keep { .. }
            | Op::Dropout { .. }
            | Op::Add { .. }
            | Op::Branch { .. } => None,
        }
    }

    /// The batch normalisation, if it is one.
    pub(crate) fn batch_norm(&self) -> Option<&Norm> {
        if let Op::BatchNorm(norm) = self { Some(norm) } else { None }
    }

    /// Whether predictions run it: they need neither dropout nor what is kept for a backward pass.
    pub(crate) fn is_in_predictions(&self) -> bool {
        match self {
            Op::Keep { .. } | Op::Dropout { .. } | Op::Branch { .. } => false,
            Op::Product(_)
            | Op::Affine(_)
            | Op::LayerNorm { .. }
            | Op::BatchNorm(_)
            | Op::Maxout { .. }
            | Op::Activation { .. }
            | Op::Add { .. } => true,
        }
    }

    /// The values that it reads when it runs forwards.
    pub(crate) fn reads(&self) -> [Option<Buffer>; 2] {
        match *self {
            Op::Product(Product { x, .. }) | Op::Affine(Affine { x, .. }) => [Some(x), None],
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
            Op::Affine(Affine { y, .. }) => [Some(y), None],
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
