//! Simulated reviews of a program for spaced repetition.
//!
//! A user recalls a card after t days with the probability of the forgetting curve of the scheduler FSRS 4.5:
//! R = (1 + 19/81·t/S)^−½. The stability S is the card's, for an average user, times a factor that depends on
//! the user and the card's difficulty.

use super::numbers::Numbers;

/// Features of a review: logarithms of days and stability, and the difficulty, in about −2..2.
pub const FEATURES: usize = 3;

/// A review of a card by a user.
#[derive(Clone, Copy, Debug)]
pub struct Review {
    /// What is known before it.
    pub features: [f32; FEATURES],
    /// 1 if the user recalled the card, else 0.
    pub recalled: f32,
    /// The probability of that in the simulation. Networks do not see it.
    pub probability: f64,
}

/// The first n reviews of a user, each of another card.
pub fn reviews(user: u64, n: usize) -> Vec<Review> {
    // A user's numbers are far from those of the next one, whose state is one step of the generator away.
    let mut numbers = Numbers::new(user.wrapping_mul(0xd134_2543_de82_ef95));
    let mut between = |from: f64, to: f64| from + (to - from) * numbers.uniform();
    // How much longer than the average this user remembers, and what difficulty costs.
    let (talent, effort) = (between(-1.5, 1.5), between(0.0, 2.0));
    let review = |_| {
        let difficulty = between(-1.0, 1.0);
        // 0.4 to 150 days; reviews are early (0.1 times) or late (20 times).
        let stability = between(-1.0, 5.0);
        let days = stability + between(-2.0, 3.0);
        let overdue = (days - stability - talent + effort * difficulty).exp();
        let probability = (1.0 + 19.0 / 81.0 * overdue).powf(-0.5);
        let recalled = if between(0.0, 1.0) < probability { 1.0 } else { 0.0 };
        let features = [(days - 2.0) / 3.0, (stability - 2.0) / 2.0, difficulty].map(|x| x as f32);
        Review { features, recalled, probability }
    };
    (0..n).map(review).collect()
}
