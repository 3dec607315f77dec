//! How drawings are distorted: elastically, with the numbers of Simard, Steinkraus and Platt (2003), and
//! a little turning and scaling. Displacements are 0.16 α/σ pixels, root mean square.

use deltarule::data::Augment;

/// For images of 28 x 28 or 8 x 8 bytes.
pub fn distortions(side: usize) -> Augment {
    let images = Augment::new(side, side).rotate(7.5);
    match side {
        28 => images.scale(0.1).elastic(34.0, 4.0),
        _ => images.scale(0.05).elastic(2.0, 1.2),
    }
}
