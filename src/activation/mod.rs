//! stub
#![allow(missing_docs)]
use crate::simd::{Line, Simd};
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps { Output, Input }
pub(crate) trait Elementwise: Copy + Send + Sync {
    const KEEPS: Keeps; const LIGHT: bool;
    fn forward<S: Simd>(self, s: S, z: S::V) -> S::V;
    fn derivative<S: Simd>(self, s: S, kept: S::V) -> S::V;
}
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation { Identity, Relu, Softmax }
pub(crate) trait Visit { type Output; fn visit<E: Elementwise>(self, e: E) -> Self::Output; }
#[derive(Clone, Copy)] pub(crate) struct Identity;
impl Elementwise for Identity { const KEEPS: Keeps = Keeps::Output; const LIGHT: bool = true;
 #[inline(always)] fn forward<S: Simd>(self, _: S, z: S::V) -> S::V { z }
 #[inline(always)] fn derivative<S: Simd>(self, s: S, _: S::V) -> S::V { s.splat(1.0) } }
#[derive(Clone, Copy)] pub(crate) struct Relu;
impl Elementwise for Relu { const KEEPS: Keeps = Keeps::Output; const LIGHT: bool = true;
 #[inline(always)] fn forward<S: Simd>(self, s: S, z: S::V) -> S::V { s.max(s.splat(0.0), z) }
 #[inline(always)] fn derivative<S: Simd>(self, s: S, a: S::V) -> S::V { s.select(s.lt(s.splat(0.0), a), s.splat(1.0), s.splat(0.0)) } }
impl Activation { pub(crate) fn with<V: Visit>(self, v: V) -> V::Output { match self { Activation::Relu => v.visit(Relu), _ => v.visit(Identity) } } }
#[inline(always)] pub(crate) fn forward_lines<S: Simd, E: Elementwise>(s: S, op: E, lines: &mut [Line]) {
  for l in lines { for i in (0..16).step_by(S::LANES) { let v = op.forward(s, s.load(&l.0[i..])); s.store(v, &mut l.0[i..]); } } }
