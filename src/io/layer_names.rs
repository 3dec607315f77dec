//! The names of the layers in a file of others, and their order.

use super::metadata::STATE;
use crate::error::{Error, Result};
use crate::format::Contents;

/// The names that the caller gives, one per layer.
pub(super) fn given_layers<'n>(order: &[&'n str], n_layers: usize) -> Result<Vec<&'n str>> {
    let refuse = |reason: String| Err(Error::config("order of the layers", reason));
    if order.len() != n_layers {
        return refuse(format!("expected {n_layers} names, got {}", order.len()));
    }
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    match sorted.iter().zip(sorted.iter().skip(1)).find(|(a, b)| a == b) {
        Some((name, _)) => refuse(format!("{name:?} comes twice")),
        None => Ok(order.to_vec()),
    }
}

/// The names of the layers in a file, in the order of the numbers in them.
pub(super) fn numbered_layers<'n>(file: &Contents<'n>, n_layers: usize) -> Result<Vec<&'n str>> {
    let tensors = || {
        let local = file.tensors().filter(|(name, _)| !name.starts_with(STATE));
        local.map(|(name, is_float)| {
            let (layer, what) = name.rsplit_once('.').unwrap_or(("", name));
            (name, layer, what, is_float)
        })
    };
    let parameters = || tensors().filter(|(_, _, what, _)| matches!(*what, "weight" | "bias"));
    // First of all, so that a hostile file costs nothing.
    let (most, got) = (n_layers.saturating_mul(2), parameters().count());
    if got > most {
        return Err(file.refuse(format!("expected {most} weights and biases, got {got}")));
    }
    let mut layers: Vec<&str> = parameters().map(|(_, layer, ..)| layer).collect();
    layers.sort_unstable();
    layers.dedup();
    for (name, layer, what, is_float) in tensors() {
        let is_of_layer = is_float && layers.binary_search(&layer).is_ok();
        let is_parameter = matches!(what, "weight" | "bias");
        if matches!(what, "running_mean" | "running_var") || (is_of_layer && !is_parameter) {
            return Err(file.refuse(format!("{name:?} is neither a weight nor a bias")));
        }
    }
    if layers.len() != n_layers {
        return Err(file.refuse(format!("expected {n_layers} layers, got {}", layers.len())));
    }
    layers.sort_by_cached_key(|layer| natural(layer));
    for (a, b) in layers.iter().zip(layers.iter().skip(1)) {
        if !differ_by_number(&natural(a), &natural(b)) {
            let reason = "no numbers tell their order: load_weights_in_order takes it";
            return Err(file.refuse(format!("layers {a:?} and {b:?}: {reason}")));
        }
    }
    Ok(layers)
}

/// A key that orders names like people do: `fc2` before `fc10`. Texts and numbers in turn.
type NaturalKey<'a> = Vec<(&'a [u8], Option<u64>)>;

fn natural(name: &str) -> NaturalKey<'_> {
    let same = |a: &u8, b: &u8| a.is_ascii_digit() == b.is_ascii_digit();
    let parts = name.as_bytes().chunk_by(same).map(|part| match part {
        [b'0'..=b'9', ..] => {
            let number = str::from_utf8(part).ok().and_then(|digits| digits.parse().ok());
            (&[][..], Some(number.unwrap_or(u64::MAX)))
        }
        _ => (part, None),
    });
    parts.collect()
}

/// Whether the first difference of two names is that of two numbers.
fn differ_by_number(a: &NaturalKey, b: &NaturalKey) -> bool {
    let difference = a.iter().zip(b).find(|(a, b)| a != b);
    matches!(difference, Some(((_, Some(_)), (_, Some(_)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_like_people_do() {
        let mut names = ["fc10", "fc2", "net.2.a", "net.10", "net.2", "0", "10", "2", ""];
        names.sort_by_key(|n| natural(n));
        assert_eq!(names, ["", "0", "2", "10", "fc2", "fc10", "net.2", "net.2.a", "net.10"]);
    }

    #[test]
    fn only_numbers_tell_an_order() {
        let told = |a, b| differ_by_number(&natural(a), &natural(b));
        for (a, b) in [("0", "2"), ("fc2", "fc10"), ("net.2.a", "net.10.b"), ("a1b1", "a1b2")] {
            assert!(told(a, b) && told(b, a), "{a} {b}");
        }
        for (a, b) in [("hidden", "output"), ("fc", "fc2"), ("fc1", "fc01"), ("net.2", "net.2.a")] {
            assert!(!told(a, b) && !told(b, a), "{a} {b}");
        }
        for (a, b) in [("decoder.0", "encoder.1"), ("", "0"), ("a", "a")] {
            assert!(!told(a, b) && !told(b, a), "{a} {b}");
        }
        assert!(!told("1x99999999999999999999", "1x99999999999999999998"));
    }
}
