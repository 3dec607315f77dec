//! An option that is set on a copy and dropped is a warning: `adam.betas(0.9, 0.99);` does nothing. So is
//! what a function computes and nobody takes. Two lints that `src/lib.rs` denies find functions without
//! `#[must_use]`; here is what a caller sees.

#![deny(unfulfilled_lint_expectations)]

use deltarule::{
    Activation, Adagrad, Adam, AdamW, EarlyStopping, Level, Lion, Matrix, Mlp, Momentum, Optimizer,
    RmsProp, Schedule, Trainer,
};

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
        net().build().unwrap().n_parameters();
        Optimizer::from(Adam::new(0.1)).learning_rate();
        Schedule::constant().rate(0.1, 0);
        Activation::elu();
        Activation::Relu.name();
        Level::best();
        Matrix::zeros(1, 1).rows();
    }
}
