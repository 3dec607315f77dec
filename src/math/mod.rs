//! Mathematical functions, random generators and the hash that several modules use.

mod erf;
mod exp;
mod hash;
mod ln;
mod poly;
mod random;
mod scalar;
mod threefry;

pub(crate) use erf::erfc;
pub(crate) use exp::{
    TWO_POWERS, WHOLE, exp, exp_negative, exp_parts, expm1_negative, expm1_parts, reduce,
};
pub(crate) use hash::Hasher;
pub(crate) use ln::{ln, ln_1p_unit};
pub(crate) use poly::{horner, quartic};
pub(crate) use random::{Purpose, RandomStream};
pub(crate) use scalar::{exp_f64, minus_ln_1m, power, sin_cos};
pub(crate) use threefry::{Key, threefry, threefry_lanes};
