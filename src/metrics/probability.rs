//! Metrics of scores and probabilities, one row per sample and one column per class.

use super::pairs::check_pairs;
use crate::error::{Error, Result};
use crate::storage::MatRef;

/// The share of samples whose true class is among the `k` highest scores of its row. Of equal
/// scores the lower class counts as higher, so that `k = 1` is the accuracy of the first maximum
/// (scikit-learn prefers the higher class).
///
/// # Errors
/// [`Error::Config`] when `k` is 0; [`Error::Shape`] when there is not one row per sample, at least
/// one; [`Error::Value`] when a true class has no column or a score is NaN.
pub fn top_k_accuracy(truth: &[u32], scores: MatRef<'_>, k: usize) -> Result<f64> {
    if k == 0 {
        return Err(Error::config("top_k_accuracy: k", "expected at least 1, got 0"));
    }
    check_scores(truth, scores)?;
    let is_hit = |&(i, &class): &(usize, &u32)| {
        let (row, class) = (scores.row(i), class as usize);
        let above = row.iter().enumerate();
        let above = above.filter(|&(c, &s)| s > row[class] || (s == row[class] && c < class));
        above.count() < k
    };
    Ok(truth.iter().enumerate().filter(is_hit).count() as f64 / truth.len() as f64)
}

/// The mean of `-ln p` of the true class, in nats. Probabilities are clipped to
/// `f32::EPSILON ..= 1 - f32::EPSILON`, so that a confident mistake is finite.
///
/// # Errors
/// [`Error::Shape`] when there is not one row per sample, at least one; [`Error::Value`] when a
/// true class has no column or a value is not in 0..=1.
pub fn log_loss(truth: &[u32], probabilities: MatRef<'_>) -> Result<f64> {
    check_scores(truth, probabilities)?;
    let mut sum = 0.0;
    for (i, &class) in truth.iter().enumerate() {
        let row = probabilities.row(i);
        if let Some(c) = row.iter().position(|p| !(0.0..=1.0).contains(p)) {
            let place = format!("probability in row {i}, column {c}");
            return Err(Error::value(place, "a number in 0..=1", row[c]));
        }
        sum -= f64::from(row[class as usize].clamp(f32::EPSILON, 1.0 - f32::EPSILON)).ln();
    }
    Ok(sum / truth.len() as f64)
}

/// The area under the receiver operating characteristic: the probability that a positive sample
/// (`truth[i] == 1`) has a higher score than a negative one (`truth[i] == 0`), equal scores
/// counting half.
///
/// # Errors
/// [`Error::Shape`] when the slices are empty or differ in length; [`Error::Value`] when a true
/// class is not 0 or 1, one of the two does not occur, or a score is NaN.
pub fn roc_auc(truth: &[u32], scores: &[f32]) -> Result<f64> {
    check_pairs(truth.len(), scores.len())?;
    if let Some(i) = truth.iter().position(|&class| class > 1) {
        return Err(Error::value(format!("true class of sample {i}"), "0 or 1", truth[i]));
    }
    if let Some(i) = scores.iter().position(|score| score.is_nan()) {
        return Err(Error::value(format!("score of sample {i}"), "a number", "NaN"));
    }
    let mut pairs: Vec<(f32, bool)> =
        scores.iter().zip(truth).map(|(&score, &class)| (score, class == 1)).collect();
    area(&mut pairs)
        .ok_or_else(|| Error::value("truth", "samples of class 0 and of class 1", "one"))
}

/// The mean over classes of [`roc_auc`] of each class against all others (scikit-learn's
/// `multi_class="ovr"`, `average="macro"`).
///
/// # Errors
/// [`Error::Shape`] when there is not one row per sample, at least one; [`Error::Value`] when a
/// true class has no column, a column's class does not occur, or a score is NaN.
pub fn roc_auc_one_vs_rest(truth: &[u32], scores: MatRef<'_>) -> Result<f64> {
    check_scores(truth, scores)?;
    let mut sum = 0.0;
    let mut pairs = Vec::with_capacity(truth.len());
    for class in 0..scores.cols() {
        pairs.clear();
        let pair = |(i, &t): (usize, &u32)| (scores.row(i)[class], t as usize == class);
        pairs.extend(truth.iter().enumerate().map(pair));
        let samples = format!("samples of class {class} and of others");
        sum +=
            area(&mut pairs).ok_or_else(|| Error::value("truth", samples, "only one of them"))?;
    }
    Ok(sum / scores.cols() as f64)
}

/// The area under the curve of (score, is positive) by the rank sum of Mann and Whitney; `None`
/// without positives or without negatives.
fn area(pairs: &mut [(f32, bool)]) -> Option<f64> {
    // `+ 0.0` makes the two zeros one: `total_cmp` would rank them apart.
    pairs.sort_unstable_by(|a, b| (a.0 + 0.0).total_cmp(&(b.0 + 0.0)));
    let (mut negatives, mut positives, mut wins) = (0u64, 0u64, 0.0);
    for ties in pairs.chunk_by(|a, b| a.0 == b.0) {
        let tied_positives = ties.iter().filter(|pair| pair.1).count() as u64;
        let tied_negatives = ties.len() as u64 - tied_positives;
        wins += tied_positives as f64 * (negatives as f64 + 0.5 * tied_negatives as f64);
        negatives += tied_negatives;
        positives += tied_positives;
    }
    let all = negatives as f64 * positives as f64;
    (all > 0.0).then(|| wins / all)
}

/// Checks for one row per sample, a column for each true class, and no NaN.
fn check_scores(truth: &[u32], scores: MatRef<'_>) -> Result<()> {
    check_pairs(truth.len(), scores.rows())?;
    for (i, &class) in truth.iter().enumerate() {
        if class as usize >= scores.cols() {
            let expected = format!("a class below {}, one per column", scores.cols());
            return Err(Error::value(format!("true class of sample {i}"), expected, class));
        }
        if let Some(c) = scores.row(i).iter().position(|score| score.is_nan()) {
            return Err(Error::value(format!("score in row {i}, column {c}"), "a number", "NaN"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 60 samples, 4 classes, scores in eighths with many ties: as in tests/data/make_metrics.py.
    fn sample() -> (Vec<u32>, Vec<f32>) {
        let truth = (0..60).map(|i| (i * i + i / 7) % 4).collect();
        let score = |i: u32, c: u32| ((i * 37 + c * 101 + i * c * 13) % 61 + 1) as f32 / 8.0;
        (truth, (0..60).flat_map(|i| (0..4).map(move |c| score(i, c))).collect())
    }

    #[test]
    fn probabilities_agree_with_scikit_learn() {
        let (truth, mut scores) = sample();
        let view = MatRef::new(&scores, 60, 4).unwrap();
        let top: Vec<f64> = (1..5).map(|k| top_k_accuracy(&truth, view, k).unwrap()).collect();
        assert_eq!(top, [0.3, 0.5666666666666667, 0.7833333333333333, 1.0]);

        assert_eq!(top_k_accuracy(&truth, view, 9).unwrap(), 1.0);
        let auc = roc_auc_one_vs_rest(&truth, view).unwrap();
        assert!((auc - 0.5449230595290377).abs() < 1e-15, "{auc}");

        let binary: Vec<u32> = truth.iter().map(|&t| u32::from(t == 1)).collect();
        let column: Vec<f32> = scores.chunks(4).map(|row| (row[1] * 8.0 % 7.0).floor()).collect();
        let auc = roc_auc(&binary, &column).unwrap();
        assert!((auc - 0.44642857142857145).abs() < 1e-15, "{auc}");

        for row in scores.chunks_mut(4) {
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|p| *p /= sum);
        }
        let loss = log_loss(&truth, MatRef::new(&scores, 60, 4).unwrap()).unwrap();
        assert!((loss - 1.497123914045563).abs() < 1e-14, "{loss}");
    }

    #[test]
    fn ties_and_certain_mistakes_have_finite_answers() {
        let row = MatRef::new(&[1.0, 0.0], 1, 2).unwrap();
        assert_eq!(log_loss(&[1], row).unwrap(), -f64::from(f32::EPSILON).ln());
        assert_eq!(roc_auc(&[0, 1], &[0.0, -0.0]).unwrap(), 0.5);
        let infinite = [f32::NEG_INFINITY, f32::INFINITY];
        assert_eq!(roc_auc(&[0, 1], &infinite).unwrap(), 1.0);
        let equal = MatRef::new(&[0.5, 0.5], 1, 2).unwrap();
        assert_eq!(top_k_accuracy(&[0], equal, 1).unwrap(), 1.0);
        assert_eq!(top_k_accuracy(&[1], equal, 1).unwrap(), 0.0);
    }

    #[test]
    fn bad_scores_are_named() {
        let text = |result: Result<f64>| result.unwrap_err().to_string();
        let nan = MatRef::new(&[0.0, 1.0, f32::NAN, 0.0], 2, 2).unwrap();
        let named = "score in row 1, column 0: expected a number, got NaN";
        assert_eq!(text(top_k_accuracy(&[0, 1], nan, 1)), named);
        assert_eq!(text(roc_auc_one_vs_rest(&[0, 1], nan)), named);
        let two = MatRef::new(&[2.0, 0.0], 1, 2).unwrap();
        assert_eq!(
            text(log_loss(&[0], two)),
            "probability in row 0, column 0: expected a number in 0..=1, got 2"
        );
        assert_eq!(
            text(log_loss(&[2], two)),
            "true class of sample 0: expected a class below 2, one per column, got 2"
        );
        assert!(top_k_accuracy(&[0], two, 0).is_err() && log_loss(&[0, 1], two).is_err());
        assert!(roc_auc_one_vs_rest(&[0], two).is_err());
        assert!(roc_auc(&[0, 0], &[0.0, 1.0]).is_err() && roc_auc(&[0, 2], &[0.0, 1.0]).is_err());
        assert!(roc_auc(&[0, 1], &[0.0, f32::NAN]).is_err() && roc_auc(&[], &[]).is_err());
    }
}
