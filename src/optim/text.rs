//! Optimisers as text.

use super::optimizer::Optimizer;
use crate::error::{Error, Result};
use crate::text::{self, Field, TextForm};
use std::fmt;
use std::str::FromStr;

impl TextForm for Optimizer {
    const OPTION: &'static str = "optimizer";

    fn name(&self) -> &'static str {
        self.method().name()
    }

    fn fields(&mut self) -> Vec<Field<'_>> {
        self.method_mut().fields()
    }
}

impl fmt::Display for Optimizer {
    /// The name and all hyper-parameters, with the fewest digits that keep their bits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(self, f)
    }
}

impl FromStr for Optimizer {
    type Err = Error;

    /// Reads what `Display` writes: a name, a colon, and hyper-parameters in any order with commas
    /// between them.
    ///
    /// | name | hyper-parameters |
    /// |---|---|
    /// | `sgd` | `lr` |
    /// | `momentum` | `lr`, `momentum`, `nesterov` (`true` or `false`) |
    /// | `adam` | `lr`, `beta1`, `beta2`, `epsilon` |
    /// | `adamw` | `lr`, `beta1`, `beta2`, `epsilon`, `weight-decay` |
    /// | `rmsprop` | `lr`, `alpha`, `epsilon` |
    /// | `adagrad` | `lr`, `epsilon` |
    /// | `lion` | `lr`, `beta1`, `beta2`, `weight-decay` |
    ///
    /// `lr`, the learning rate, and `momentum` must be there; the others may be left out, and are as
    /// `new` of the struct sets them.
    ///
    /// ```
    /// use deltarule::{Adam, Optimizer};
    ///
    /// let optimizer: Optimizer = "adam:lr=0.001,beta2=0.99".parse()?;
    /// assert_eq!(optimizer, Adam::new(0.001).betas(0.9, 0.99).into());
    /// assert_eq!(optimizer.to_string(), "adam:lr=0.001,beta1=0.9,beta2=0.99,epsilon=1e-8");
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for another text. Ranges are checked by [`Optimizer::validate`], and where
    /// the optimiser is used.
    fn from_str(text: &str) -> Result<Optimizer> {
        text::read(text, &Optimizer::with_defaults())
    }
}
