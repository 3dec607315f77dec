//! How predictors and sessions hold their network: borrowed, owned or shared.

use super::mlp::Mlp;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A network that a [`Predictor`](crate::Predictor) reads: any of `&Mlp`, `Mlp`, `Box<Mlp>`, `Arc<Mlp>`.
#[derive(Debug)]
pub struct MlpRef<'a>(Reader<'a>);

#[derive(Debug)]
enum Reader<'a> {
    Borrowed(&'a Mlp),
    Owned(Box<Mlp>),
    Shared(Arc<Mlp>),
}

/// A network that a [`Training`](crate::Training) changes: any of `&mut Mlp`, `Mlp`, `Box<Mlp>`, or
/// `Arc<Mlp>`, which is copied if it is shared.
#[derive(Debug)]
pub struct MlpMut<'a>(Writer<'a>);

#[derive(Debug)]
enum Writer<'a> {
    Borrowed(&'a mut Mlp),
    Owned(Box<Mlp>),
}

impl Deref for MlpRef<'_> {
    type Target = Mlp;

    #[inline]
    fn deref(&self) -> &Mlp {
        match &self.0 {
            Reader::Borrowed(net) => net,
            Reader::Owned(net) => net,
            Reader::Shared(net) => net,
        }
    }
}

impl Deref for MlpMut<'_> {
    type Target = Mlp;

    #[inline]
    fn deref(&self) -> &Mlp {
        match &self.0 {
            Writer::Borrowed(net) => net,
            Writer::Owned(net) => net,
        }
    }
}

impl DerefMut for MlpMut<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Mlp {
        match &mut self.0 {
            Writer::Borrowed(net) => net,
            Writer::Owned(net) => net,
        }
    }
}

impl MlpRef<'_> {
    /// The network, to change: a copy of its own of one that is borrowed or shared.
    pub(crate) fn make_mut(&mut self) -> &mut Mlp {
        if let Reader::Borrowed(net) = self.0 {
            self.0 = Reader::Owned(Box::new(net.clone()));
        }
        match &mut self.0 {
            Reader::Borrowed(_) => unreachable!("it was replaced"),
            Reader::Owned(net) => net,
            Reader::Shared(net) => Arc::make_mut(net),
        }
    }
}

impl MlpMut<'_> {
    /// The network; a copy of one that is borrowed.
    pub(crate) fn into_network(self) -> Mlp {
        match self.0 {
            Writer::Borrowed(net) => net.clone(),
            Writer::Owned(net) => *net,
        }
    }
}

impl<'a> From<&'a Mlp> for MlpRef<'a> {
    fn from(net: &'a Mlp) -> Self {
        MlpRef(Reader::Borrowed(net))
    }
}

impl<'a> From<&'a mut Mlp> for MlpRef<'a> {
    fn from(net: &'a mut Mlp) -> Self {
        MlpRef(Reader::Borrowed(net))
    }
}

impl From<Mlp> for MlpRef<'_> {
    fn from(net: Mlp) -> Self {
        MlpRef(Reader::Owned(Box::new(net)))
    }
}

impl From<Box<Mlp>> for MlpRef<'_> {
    fn from(net: Box<Mlp>) -> Self {
        MlpRef(Reader::Owned(net))
    }
}

impl From<Arc<Mlp>> for MlpRef<'_> {
    fn from(net: Arc<Mlp>) -> Self {
        MlpRef(Reader::Shared(net))
    }
}

impl<'a> From<&'a mut Mlp> for MlpMut<'a> {
    fn from(net: &'a mut Mlp) -> Self {
        MlpMut(Writer::Borrowed(net))
    }
}

impl From<Mlp> for MlpMut<'_> {
    fn from(net: Mlp) -> Self {
        MlpMut(Writer::Owned(Box::new(net)))
    }
}

impl From<Box<Mlp>> for MlpMut<'_> {
    fn from(net: Box<Mlp>) -> Self {
        MlpMut(Writer::Owned(net))
    }
}

impl From<Arc<Mlp>> for MlpMut<'_> {
    fn from(net: Arc<Mlp>) -> Self {
        Arc::unwrap_or_clone(net).into()
    }
}
