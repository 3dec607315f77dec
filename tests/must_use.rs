//! An option that is set on a copy and dropped is a warning: `adam.betas(0.9, 0.99);` does nothing.

#![deny(unfulfilled_lint_expectations)]

use deltarule::{
    Activation, Adagrad, Adam, AdamW, EarlyStopping, Level, Lion, Mlp, Momentum, RmsProp, Schedule,
    Trainer,
};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Does not compile unless the compiler warns of each statement.
macro_rules! warned {
    ($($dropped:expr;)*) => {
        $(
            #[expect(unused_must_use, reason = "the warning is what is tested")]
            $dropped;
        )*
    };
}

#[test]
fn dropped_options_are_warned_of() {
    let net = || Mlp::builder(1).dense(1, Activation::Identity);
    warned! {
        Adagrad::new(0.1).epsilon(0.1);
        Adam::new(0.1).betas(0.9, 0.9);
        AdamW::new(0.1).weight_decay(0.1);
        Lion::new(0.1).betas(0.9, 0.9);
        Momentum::new(0.1, 0.9).nesterov();
        RmsProp::new(0.1).alpha(0.9);
        Schedule::constant().warm_up(1, 0.5);
        EarlyStopping::on_validation_loss().patience(1);
        Trainer::new(Adam::new(0.1)).epochs(2);
        net().dropout(0.5);
        net().build().unwrap().with_level(Level::portable());
    }
}

/// Every method that takes an object and returns it is of a type that must be used, or must be used
/// itself.
#[test]
fn every_builder_must_be_used() {
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let (mut builders, mut used) = (BTreeSet::new(), BTreeSet::new());
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        let (mut lines, mut of, mut is_used) = (text.lines(), String::new(), false);
        while let Some(line) = lines.next() {
            let line = line.trim();
            let mut text = line.to_string();
            if let Some(rest) = line.strip_prefix("impl") {
                // `impl<'a> Name<'a> {`
                let rest = rest.split_once("> ").map_or(rest, |(_, rest)| rest).trim();
                of = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
            } else if let Some(rest) = line.strip_prefix("pub struct ")
                && is_used
            {
                used.insert(rest.chars().take_while(|c| c.is_alphanumeric()).collect::<String>());
            } else if line.starts_with("pub fn ") {
                while !text.contains(['{', ';']) {
                    text.push_str(lines.next().unwrap().trim());
                }
                let takes_self = text.contains("(self") || text.contains("(mut self");
                if takes_self && text.contains("-> Self {") && !is_used {
                    builders.insert(of.clone());
                }
            }
            is_used = line.starts_with("#[must_use") || is_used && line.starts_with("#[");
        }
    }
    assert!(builders.len() > 10, "{builders:?}");
    let missing: Vec<_> = builders.difference(&used).collect();
    assert!(missing.is_empty(), "without #[must_use]: {missing:?}");
}
