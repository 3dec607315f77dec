//! The distortion: draws the source position of each pixel, then interpolates there.

use super::Augment;
use super::blur::Blur;
use crate::error::{Error, Result};
use crate::math::{Purpose, RandomStream, sin_cos};
use std::fmt;

/// Pixels per inner loop.
const LANES: usize = 16;

/// Distorts images, one at a time, without allocation. Each thread needs one.
#[derive(Clone)]
pub struct Augmenter {
    options: Augment,
    /// The image with a border of two zeros on each side.
    source: Vec<f32>,
    /// The displacement of each source position, in pixels.
    bent: Option<Bent>,
}

#[derive(Clone)]
struct Bent {
    blur: Blur,
    right: Vec<f32>,
    below: Vec<f32>,
}

/// The options, without the buffers.
impl fmt::Debug for Augmenter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Augmenter").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Augmenter {
    /// Writes a distorted copy of `image` into `out`: `width * height` values. What lies outside
    /// of the image counts as byte 0.
    ///
    /// # Errors
    /// [`Error::Shape`] when a slice has another length.
    pub fn apply(
        &mut self,
        seed: u64,
        epoch: u64,
        index: u64,
        image: &[u8],
        out: &mut [f32],
    ) -> Result<()> {
        let Augment { width, height, .. } = self.options;
        for (place, len) in [("augment: image", image.len()), ("augment: out", out.len())] {
            if len != width * height {
                return Err(Error::shape(place, format!("{width} x {height} values"), len));
            }
        }
        let mut random = RandomStream::new(seed, Purpose::Augment, epoch, index);
        let source_map = self.options.draw(&mut random);
        if let (Some(bent), Some((alpha, _))) = (&mut self.bent, self.options.elastic) {
            bent.draw(&mut random, alpha as f32);
        }
        let stride = width + 4;
        let inside = self.source[2 * stride + 2..].chunks_mut(stride);
        for (from, to) in image.chunks_exact(width).zip(inside) {
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = f32::from(from));
        }
        for (y, out) in out.chunks_exact_mut(width).enumerate() {
            for (x, out) in (0..width).step_by(LANES).zip(out.chunks_mut(LANES)) {
                self.pixels(&source_map, x, y, out);
            }
        }
        Ok(())
    }

    /// Writes the pixels of the copy from (x, y), at most [`LANES`] of them.
    fn pixels(&self, source_map: &SourceMap, x: usize, y: usize, out: &mut [f32]) {
        let Augment { width, height, value_scale, value_shift, .. } = self.options;
        // First the source positions of all lanes, which vectorises; then their values.
        let (mut right, mut below) = ([0.0; LANES], [0.0; LANES]);
        if let Some(bent) = &self.bent {
            let pixels = y * width + x..y * width + x + out.len();
            right[..out.len()].copy_from_slice(&bent.right[pixels.clone()]);
            below[..out.len()].copy_from_slice(&bent.below[pixels]);
        }
        let (mut columns, mut lines) = ([0; LANES], [0; LANES]);
        for lane in 0..LANES {
            let (u, v) = source_map.at((x + lane) as f32, y as f32);
            (columns[lane], right[lane]) = split(u + right[lane], width);
            (lines[lane], below[lane]) = split(v + below[lane], height);
        }
        let stride = width + 4;
        for (lane, out) in out.iter_mut().enumerate() {
            let corner = lines[lane] as usize * stride + columns[lane] as usize;
            let corner = &self.source[corner..][..stride + 2];
            let above = corner[0] + right[lane] * (corner[1] - corner[0]);
            let under = corner[stride] + right[lane] * (corner[stride + 1] - corner[stride]);
            *out = (above + below[lane] * (under - above)) * value_scale + value_shift;
        }
    }
}

/// A coordinate in the source with its border, as an index and the fraction (0 to 1, both included)
/// towards the next one. Positions outside of the image are moved onto the border.
#[inline(always)]
fn split(x: f32, side: usize) -> (u32, f32) {
    let x = (x + 2.0).clamp(1.0, (side + 2) as f32);
    // The nearest whole number to x - 1/2, in the low bits of a float whose last bit counts ones:
    // a conversion that vectorises.
    let magic = (1u32 << 23) as f32;
    let whole = magic + (x - 0.5);
    (whole.to_bits() & 0x7f_ffff, x - (whole - magic))
}

/// The affine map from pixels of the copy to positions in the image.
struct SourceMap {
    origin: (f32, f32),
    along_x: (f32, f32),
    along_y: (f32, f32),
}

impl SourceMap {
    /// The source position of pixel (x, y).
    #[inline(always)]
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        let SourceMap { origin, along_x, along_y } = self;
        (origin.0 + along_y.0 * y + along_x.0 * x, origin.1 + along_y.1 * y + along_x.1 * x)
    }
}

impl Augment {
    /// The distorter for one thread.
    ///
    /// # Errors
    /// [`Error::Config`] when a side is not in 1..=4096 pixels, a limit is negative or not finite,
    /// the scale's range is not below 1, or sigma is not above 0 and at most the larger side.
    pub fn augmenter(&self) -> Result<Augmenter> {
        self.check()?;
        let (width, height) = (self.width, self.height);
        let bent = self.elastic.map(|(_, sigma)| Bent {
            blur: Blur::new(width, height, sigma),
            right: vec![0.0; width * height],
            below: vec![0.0; width * height],
        });
        let source = vec![0.0; (width + 4) * (height + 4)];
        Ok(Augmenter { options: self.clone(), source, bent })
    }

    /// Draws shift, angle and scale. Always draws all four numbers, so that one option does not change
    /// the effect of another.
    fn draw(&self, random: &mut RandomStream) -> SourceMap {
        let mut within = |limit: f64| limit * (2.0 * random.uniform() - 1.0);
        let (right, down) = (within(self.shift), within(self.shift));
        let (sin, cos) = sin_cos(within(self.rotate) / 360.0);
        let shrink = 1.0 / (1.0 + within(self.scale));
        // The copy is the image scaled, turned and then moved; the map inverts that.
        let (x, y) = ((self.width - 1) as f64 / 2.0, (self.height - 1) as f64 / 2.0);
        let (along_x, along_y) = ((shrink * cos, -shrink * sin), (shrink * sin, shrink * cos));
        let (from_x, from_y) = (x + right, y + down);
        let origin = (
            x - along_x.0 * from_x - along_y.0 * from_y,
            y - along_x.1 * from_x - along_y.1 * from_y,
        );
        let single = |pair: (f64, f64)| (pair.0 as f32, pair.1 as f32);
        SourceMap { origin: single(origin), along_x: single(along_x), along_y: single(along_y) }
    }
}

impl Bent {
    /// Draws the displacements: uniform, 16 bits each, which the blur makes fine enough.
    fn draw(&mut self, random: &mut RandomStream, alpha: f32) {
        for pixels in [&mut self.right, &mut self.below] {
            for four in pixels.chunks_mut(4) {
                let bits = random.bits();
                for (i, pixel) in four.iter_mut().enumerate() {
                    let signed = (bits >> (16 * i)) as i16;
                    *pixel = (f32::from(signed) + 0.5) * (1.0 / 32768.0);
                }
            }
            self.blur.apply(pixels, alpha);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ramp with an edge, so that every displacement shows.
    fn image(width: usize, height: usize) -> Vec<u8> {
        (0..width * height).map(|i| ((i * 7) % 256) as u8).collect()
    }

    fn copy(augment: &Augment, index: u64, image: &[u8]) -> Vec<f32> {
        let mut out = vec![f32::NAN; image.len()];
        augment.augmenter().unwrap().apply(3, 1, index, image, &mut out).unwrap();
        out
    }

    #[test]
    fn no_distortion_is_the_image_itself() {
        let image = image(9, 5);
        let same = copy(&Augment::new(9, 5).values(1.0, 0.0), 0, &image);
        assert!(same.iter().zip(&image).all(|(&got, &want)| got == f32::from(want)));
        let flat = copy(&Augment::new(9, 5).elastic(0.0, 2.0).values(1.0, 0.0), 0, &image);
        assert_eq!(flat, same);
        let unit = copy(&Augment::new(9, 5), 0, &image);
        assert!(unit.iter().zip(&same).all(|(unit, byte)| (unit - byte / 255.0).abs() < 1e-7));
    }

    #[test]
    fn copies_are_functions_of_seed_epoch_and_index() {
        let augment = Augment::new(28, 28).shift(2.0).rotate(15.0).scale(0.1).elastic(34.0, 4.0);
        let image = image(28, 28);
        let mut augmenter = augment.augmenter().unwrap();
        let mut copy = |seed, epoch, index| {
            let mut out = vec![0.0; 784];
            augmenter.apply(seed, epoch, index, &image, &mut out).unwrap();
            out
        };
        let first = copy(1, 2, 3);
        assert_ne!(first, copy(2, 2, 3));
        assert_ne!(first, copy(1, 3, 3));
        assert_ne!(first, copy(1, 2, 4));
        assert_eq!(first, copy(1, 2, 3));
        assert!(first.iter().all(|x| (0.0..=1.0).contains(x)));
    }

    /// The same maps in f64 from the same draws, in the plainest way.
    #[test]
    fn agrees_with_a_plain_computation() {
        let (width, height) = (28usize, 21usize);
        let augment = Augment::new(width, height).values(1.0, 0.0);
        let augment = augment.shift(3.0).rotate(30.0).scale(0.3).elastic(30.0, 3.0);
        let image = image(width, height);
        let at = |x: i64, y: i64| {
            let inside = (0..width as i64).contains(&x) && (0..height as i64).contains(&y);
            if inside { f64::from(image[y as usize * width + x as usize]) } else { 0.0 }
        };
        for index in 0..20 {
            let mut random = RandomStream::new(3, Purpose::Augment, 1, index);
            let mut uniform = || 2.0 * random.uniform() - 1.0;
            let (dx, dy, angle, zoom) =
                (3.0 * uniform(), 3.0 * uniform(), 30.0 * uniform(), 1.0 + 0.3 * uniform());
            let mut bent = augment.augmenter().unwrap().bent.unwrap();
            bent.draw(&mut random, 30.0);
            let (sin, cos) = angle.to_radians().sin_cos();
            let centre = ((width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0);
            for (i, got) in copy(&augment, index, &image).into_iter().enumerate() {
                let p = ((i % width) as f64 - centre.0 - dx, (i / width) as f64 - centre.1 - dy);
                let x = (cos * p.0 + sin * p.1) / zoom + centre.0 + f64::from(bent.right[i]);
                let y = (cos * p.1 - sin * p.0) / zoom + centre.1 + f64::from(bent.below[i]);
                let (l, t) = (x.floor() as i64, y.floor() as i64);
                let (fx, fy) = (x - x.floor(), y - y.floor());
                let want = (1.0 - fy) * ((1.0 - fx) * at(l, t) + fx * at(l + 1, t))
                    + fy * ((1.0 - fx) * at(l, t + 1) + fx * at(l + 1, t + 1));
                // The steepest edge is 255 a pixel; coordinates are within 1e-5 pixels.
                assert!((f64::from(got) - want).abs() < 5e-3, "{index} {i}: {got} {want}");
            }
        }
    }

    #[test]
    fn limits_are_kept_and_reached() {
        // One bright pixel in the middle, moved by whole and part pixels: its centre of mass.
        let mut image = [0; 81];
        image[40] = 255;
        let (mut largest, mut sum) = (0f32, 0f32);
        for index in 0..500 {
            let out = copy(&Augment::new(9, 9).shift(2.0), index, &image);
            let mass: f32 = out.iter().sum();
            let x: f32 =
                out.iter().enumerate().map(|(i, v)| (i % 9) as f32 * v).sum::<f32>() / mass;
            assert!((mass - 1.0).abs() < 1e-5 && (x - 4.0).abs() <= 2.0001);
            largest = largest.max((x - 4.0).abs());
            sum += x - 4.0;
        }
        // A uniform mean of 500: five standard errors of 2 / sqrt(3 * 500).
        assert!(largest > 1.95 && (sum / 500.0).abs() < 5.0 * 0.0517, "{largest} {sum}");
    }

    /// Uniform noise has variance 1/3, and a Gaussian blur of it 1/3 / (4 pi sigma^2).
    #[test]
    fn elastic_displacements_have_their_size() {
        let augment = Augment::new(100, 100).elastic(34.0, 4.0);
        let mut bent = augment.augmenter().unwrap().bent.unwrap();
        let (mut square, mut n) = (0f64, 0);
        for index in 0..30 {
            bent.draw(&mut RandomStream::new(1, Purpose::Augment, 0, index), 34.0);
            let inside = (12..88).flat_map(|y| (12..88).map(move |x| y * 100 + x));
            inside.for_each(|i| square += f64::from(bent.right[i]).powi(2));
            n += 76 * 76;
        }
        let rms = (square / f64::from(n)).sqrt();
        let expected = 34.0 / (3.0 * 4.0 * std::f64::consts::PI * 16.0).sqrt();
        assert!((rms / expected - 1.0).abs() < 0.05, "{rms} {expected}");
    }

    #[test]
    fn slices_of_another_length_are_refused() {
        let mut augmenter = Augment::new(28, 28).augmenter().unwrap();
        assert!(augmenter.apply(0, 0, 0, &[0; 783], &mut [0.0; 784]).is_err());
        assert!(augmenter.apply(0, 0, 0, &[0; 784], &mut [0.0; 785]).is_err());
    }
}
