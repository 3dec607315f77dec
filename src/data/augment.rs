//! Distorted copies of grey images, a new one each epoch: shifted, turned, scaled, and elastically
//! bent (Simard, Steinkraus and Platt 2003, "Best practices for convolutional neural networks
//! applied to visual document analysis").

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "the sides of an image are checked, and no size comes from a file"
)]

mod blur;
mod warp;

pub use warp::Augmenter;

use crate::error::{Error, Result};

/// The limits of the distortions. Each image draws its own, uniformly within them, as a function of
/// (seed, epoch, index) alone.
///
/// ```
/// use deltarule::data::Augment;
/// let augment = Augment::new(28, 28).shift(2.0).rotate(10.0).scale(0.1).elastic(34.0, 4.0);
/// let mut augmenter = augment.augmenter()?;
/// let (image, mut bent) = ([255; 784], [0.0; 784]);
/// augmenter.apply(1, 0, 7, &image, &mut bent)?;
/// # Ok::<(), deltarule::Error>(())
/// ```
#[must_use]
#[derive(Clone, Debug, PartialEq)]
pub struct Augment {
    width: usize,
    height: usize,
    shift: f64,
    rotate: f64,
    scale: f64,
    elastic: Option<(f64, f64)>,
    value_scale: f32,
    value_shift: f32,
}

/// Pixels of a side at most, for which f32 coordinates are still finer than 1/1000 pixel.
const MAX_SIDE: usize = 4096;

impl Augment {
    /// No distortion yet, of images of `width x height` bytes, row by row.
    pub fn new(width: usize, height: usize) -> Self {
        Augment {
            width,
            height,
            shift: 0.0,
            rotate: 0.0,
            scale: 0.0,
            elastic: None,
            value_scale: 1.0 / 255.0,
            value_shift: 0.0,
        }
    }

    /// Moves the image by up to `pixels` along each axis, in either direction.
    pub fn shift(mut self, pixels: f64) -> Self {
        self.shift = pixels;
        self
    }

    /// Turns the image about its centre by up to `degrees` in either direction.
    pub fn rotate(mut self, degrees: f64) -> Self {
        self.rotate = degrees;
        self
    }

    /// Scales the image by a factor in `1 - range ..= 1 + range`, about its centre.
    pub fn scale(mut self, range: f64) -> Self {
        self.scale = range;
        self
    }

    /// Displaces every pixel by `alpha` times a random field, uniform in -1..1 at each pixel and
    /// then blurred with standard deviation `sigma` pixels. Simard et al. found alpha = 34 and
    /// sigma = 4 best for MNIST: displacements of 1.4 pixels, root mean square.
    pub fn elastic(mut self, alpha: f64, sigma: f64) -> Self {
        self.elastic = Some((alpha, sigma));
        self
    }

    /// Reads a byte as `byte * scale + shift`; the default is `byte / 255`.
    pub fn values(mut self, scale: f32, shift: f32) -> Self {
        (self.value_scale, self.value_shift) = (scale, shift);
        self
    }

    /// Checks the sides and limits.
    fn check(&self) -> Result<()> {
        let (width, height) = (self.width, self.height);
        let sides = 1..=MAX_SIDE;
        if !sides.contains(&width) || !sides.contains(&height) {
            let reason =
                format!("expected sides of 1 to {MAX_SIDE} pixels, got {width} x {height}");
            return Err(Error::config("augment", reason));
        }
        let alpha = self.elastic.map_or(0.0, |(alpha, _)| alpha);
        for (option, limit, largest) in [
            ("shift", self.shift, MAX_SIDE as f64),
            ("rotate", self.rotate, 360.0),
            ("scale", self.scale, 0.99),
            ("elastic: alpha", alpha, 1e6),
        ] {
            if !(0.0..=largest).contains(&limit) {
                let reason = format!("expected 0 to {largest}, got {limit}");
                return Err(Error::config(format!("augment: {option}"), reason));
            }
        }
        if !(self.value_scale * 255.0 + self.value_shift).is_finite() {
            return Err(Error::config("augment: values", "a byte's value has to be finite"));
        }
        let largest = width.max(height) as f64;
        match self.elastic {
            Some((_, sigma)) if !(sigma > 0.0 && sigma <= largest) => {
                let reason = format!("expected above 0 and up to {largest}, got {sigma}");
                Err(Error::config("augment: elastic: sigma", reason))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_options_are_refused() {
        let good = Augment::new(28, 28);
        for bad in [
            Augment::new(0, 28),
            Augment::new(28, 4097),
            good.clone().shift(-1.0),
            good.clone().rotate(f64::NAN),
            good.clone().scale(1.0),
            good.clone().elastic(f64::INFINITY, 4.0),
            good.clone().elastic(34.0, 0.0),
            good.clone().elastic(34.0, 29.0),
            good.clone().values(f32::MAX, 0.0),
        ] {
            assert!(matches!(bad.augmenter(), Err(Error::Config { .. })), "{bad:?}");
        }
    }
}
