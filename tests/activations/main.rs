//! The activations against f64: errors in ULP, special values, derivatives, positions and text.

mod gradient;
mod reference;
mod softmax;
mod ulp;
mod values;
