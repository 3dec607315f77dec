//! Options as text: the texts themselves, that what was written is read to the bit, and what is refused.

use deltarule::{
    Activation, Adagrad, Adam, AdamW, Error, Init, Level, Lion, Loss, Momentum, Optimizer,
    Precision, RmsProp, Schedule, Sgd, Threads,
};
use proptest::prelude::*;
use std::fmt::{Debug, Display};
use std::str::FromStr;

/// That a value has this text, and the text this value.
#[track_caller]
fn has_text<T: Display + FromStr<Err = Error> + Debug>(value: T, text: &str) {
    assert_eq!(value.to_string(), text);
    is_read(text, &value);
}

/// That a text is read as this value, to the bit: the `Debug` texts tell all numbers apart, 0 and −0
/// too, and take every NaN for the same.
#[track_caller]
fn is_read<T: FromStr<Err = Error> + Debug>(text: &str, value: &T) {
    let read = text.parse::<T>();
    let read = read.unwrap_or_else(|e| panic!("{text:?}: {e}"));
    assert_eq!(format!("{read:?}"), format!("{value:?}"), "{text:?}");
}

/// That a text is an error of the option's, with every part in its text.
#[track_caller]
fn refused<T: FromStr<Err = Error> + Debug>(text: &str, parts: &[&str]) {
    let error = text.parse::<T>().expect_err(text);
    assert!(matches!(error, Error::Config { .. } | Error::Level { .. }), "{text:?}: {error:?}");
    let reason = error.to_string();
    assert!(parts.iter().all(|part| reason.contains(part)), "{text:?}: {reason}");
}

#[test]
fn optimizers_have_all_their_numbers() {
    let optimizers: [(Optimizer, &str); 8] = [
        (Sgd::new(0.1).into(), "sgd:lr=0.1"),
        (Momentum::new(0.1, 0.9).into(), "momentum:lr=0.1,momentum=0.9,nesterov=false"),
        (Momentum::new(1.0, 0.5).nesterov().into(), "momentum:lr=1,momentum=0.5,nesterov=true"),
        (Adam::new(0.001).into(), "adam:lr=0.001,beta1=0.9,beta2=0.999,epsilon=1e-8"),
        (
            AdamW::new(0.001).betas(0.8, 0.99).epsilon(0.5).weight_decay(0.25).into(),
            "adamw:lr=0.001,beta1=0.8,beta2=0.99,epsilon=0.5,weight-decay=0.25",
        ),
        (RmsProp::new(0.01).alpha(0.9).into(), "rmsprop:lr=0.01,alpha=0.9,epsilon=1e-8"),
        (Adagrad::new(0.01).into(), "adagrad:lr=0.01,epsilon=1e-10"),
        (
            Lion::new(1e-5).weight_decay(2.0).into(),
            "lion:lr=1e-5,beta1=0.9,beta2=0.99,weight-decay=2",
        ),
    ];
    for (optimizer, text) in optimizers {
        has_text(optimizer, text);
    }
}

#[test]
fn what_a_text_leaves_out_is_the_default() {
    let optimizers: [(&str, Optimizer); 6] = [
        ("momentum:lr=0.1,momentum=0.9", Momentum::new(0.1, 0.9).into()),
        ("adam:lr=0.1", Adam::new(0.1).into()),
        ("adamw:lr=0.1", AdamW::new(0.1).into()),
        ("rmsprop:lr=0.1", RmsProp::new(0.1).into()),
        ("adagrad:lr=0.1", Adagrad::new(0.1).into()),
        ("lion:lr=0.1", Lion::new(0.1).into()),
    ];
    for (text, optimizer) in optimizers {
        is_read(text, &optimizer);
    }
    // Any order, and numbers as Rust reads them.
    is_read("adam:epsilon=1E-3,lr=+.5", &Optimizer::from(Adam::new(0.5).epsilon(0.001)));
    is_read("step:factor=0.5,every=3", &Schedule::step(3, 0.5));
    is_read("one-cycle", &Schedule::one_cycle());
    is_read("one-cycle:last=0.5", &Schedule::one_cycle_with(0.3, 1.0 / 25.0, 0.5));
    is_read("constant:warm-up=5", &Schedule::constant().warm_up(5, 0.0));
    is_read("leaky-relu", &Activation::leaky_relu());
    is_read("elu", &Activation::elu());
}

#[test]
fn schedules_have_their_shape_and_what_is_set() {
    has_text(Schedule::constant(), "constant:ticks=steps");
    has_text(Schedule::step(3, 0.5), "step:every=3,factor=0.5,ticks=epochs");
    has_text(Schedule::step(3, 0.5).each_step(), "step:every=3,factor=0.5,ticks=steps");
    has_text(Schedule::exponential(0.9), "exponential:factor=0.9,ticks=epochs");
    has_text(
        Schedule::cosine(0.1).over(500).warm_up(20, 0.5),
        "cosine:floor=0.1,over=500,warm-up=20,warm-up-from=0.5,ticks=steps",
    );
    has_text(Schedule::one_cycle(), "one-cycle:rise=0.3,first=0.04,last=4e-6,ticks=steps");
    has_text(
        Schedule::plateau(0.5, 3).smallest_rate(1e-6),
        "plateau:factor=0.5,patience=3,smallest-rate=1e-6,ticks=epochs",
    );
    // Zeros that are set, and numbers that the shape does not use.
    has_text(
        Schedule::constant().over(0).smallest_rate(0.0).warm_up(0, -0.0),
        "constant:over=0,warm-up-from=-0,smallest-rate=0,ticks=steps",
    );
    has_text(
        Schedule::step(u64::MAX, f32::MAX),
        "step:every=18446744073709551615,factor=3.4028235e38,ticks=epochs",
    );
}

#[test]
fn the_other_options_have_their_words() {
    has_text(Threads::One, "one");
    has_text(Threads::Current, "current");
    has_text(Threads::N(4), "4");
    for (init, text) in [
        (Init::He, "he"),
        (Init::HeUniform, "he-uniform"),
        (Init::Glorot, "glorot"),
        (Init::GlorotUniform, "glorot-uniform"),
        (Init::LeCun, "lecun"),
        (Init::LeCunUniform, "lecun-uniform"),
        (Init::Normal(0.1), "normal:0.1"),
        (Init::Uniform(1e-6), "uniform:1e-6"),
        (Init::Constant(-0.0), "constant:-0"),
        (Init::Orthogonal(1.0), "orthogonal:1"),
    ] {
        has_text(init, text);
    }
    for (precision, text) in Precision::ALL.into_iter().zip(["f32", "f32x6", "high", "bf16"]) {
        has_text(precision, text);
    }
    for level in Level::available() {
        has_text(level, level.name());
    }
    for activation in Activation::ALL {
        has_text(activation, &activation.to_string());
    }
    has_text(Activation::Maxout { units: 3 }, "maxout:3");
    has_text(Activation::LeakyRelu { slope: 0.25 }, "leaky-relu:0.25");
    has_text(Loss::Huber { delta: 0.5 }, "huber:0.5");
    // Columns of a table.
    assert_eq!(
        format!("{:>6}|{:<9}|{:^6}", Threads::N(4), Level::portable(), Init::He),
        "     4|portable |  he  "
    );
}

#[test]
fn what_is_refused_names_what_is_accepted() {
    refused::<Optimizer>("", &["sgd", "momentum", "adam", "adamw", "rmsprop", "adagrad", "lion"]);
    refused::<Optimizer>("newton:lr=1", &["newton", "sgd"]);
    refused::<Optimizer>("Adam:lr=1", &["adam"]);
    refused::<Optimizer>("adam", &["adam needs lr"]);
    refused::<Optimizer>("adam:", &["lr=…", "epsilon=…"]);
    refused::<Optimizer>("adam:beta1=0.9", &["adam needs lr"]);
    refused::<Optimizer>("momentum:lr=0.1", &["momentum needs momentum"]);
    refused::<Optimizer>("adam:0.1", &["lr=…", "\"0.1\""]);
    refused::<Optimizer>("sgd:lr=0.1,momentum=0.9", &["lr=…", "momentum=0.9"]);
    refused::<Optimizer>("sgd:lr=0.1,", &["\"\""]);
    refused::<Optimizer>("sgd:lr=0.1,lr=0.1", &["lr is given twice"]);
    refused::<Optimizer>("sgd: lr=0.1", &["\" lr=0.1\""]);
    refused::<Optimizer>("sgd:lr=", &["lr: expected a number"]);
    refused::<Optimizer>("sgd:lr=1e", &["lr: expected a number", "1e"]);
    refused::<Optimizer>("momentum:lr=1,momentum=0.9,nesterov=1", &["false or true"]);
    refused::<Schedule>("sine", &["constant", "one-cycle", "plateau"]);
    refused::<Schedule>("step:every=3", &["step needs factor"]);
    refused::<Schedule>("step:every=-3,factor=1", &["every: expected a whole number", "-3"]);
    refused::<Schedule>("step:every=18446744073709551616,factor=1", &["whole number"]);
    refused::<Schedule>("constant:ticks=days", &["steps or epochs"]);
    refused::<Schedule>("cosine:floor=0.1,factor=1", &["floor=…", "over=…", "factor=1"]);
    refused::<Threads>("", &["one", "current", "number"]);
    refused::<Threads>("-1", &["-1"]);
    refused::<Threads>("two", &["two"]);
    refused::<Init>("xavier", &["glorot", "normal:…"]);
    refused::<Init>("he:1", &["he has no number"]);
    refused::<Init>("normal", &["normal:0.5"]);
    refused::<Init>("normal:", &["expected a number"]);
    refused::<Precision>("f16", &["f32, f32x6, high, bf16"]);
    refused::<Level>("neon", &["avx512, avx2 or portable"]);
    refused::<Activation>("maxout", &["number of units"]);
    refused::<Activation>("relu:1", &["no parameter"]);
    refused::<Activation>("elu:x", &["not a number"]);
    refused::<Loss>("huber", &["huber:1"]);
    refused::<Loss>("hinge:1", &["huber"]);
    refused::<Loss>("quantile:0.1,", &["number"]);
}

/// Any number, with the extremes and NaN.
fn number() -> impl Strategy<Value = f32> {
    let extremes = [
        0.0,
        -0.0,
        f32::from_bits(1),
        f32::MIN_POSITIVE,
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::EPSILON,
        // Where the form of a number changes.
        1e-4,
        1e-4f32.next_down(),
        16_777_216.0,
        16_777_215.0,
    ];
    prop_oneof![
        4 => any::<u32>().prop_map(f32::from_bits),
        2 => 0.0f32..1.0,
        1 => prop::sample::select(extremes.to_vec()),
    ]
}

fn optimizer() -> impl Strategy<Value = Optimizer> {
    (0..8, [number(), number(), number(), number(), number()]).prop_map(|(i, [a, b, c, d, e])| {
        match i {
            0 => Sgd::new(a).into(),
            1 => Momentum::new(a, b).into(),
            2 => Momentum::new(a, b).nesterov().into(),
            3 => Adam::new(a).betas(b, c).epsilon(d).into(),
            4 => AdamW::new(a).betas(b, c).epsilon(d).weight_decay(e).into(),
            5 => RmsProp::new(a).alpha(b).epsilon(c).into(),
            6 => Adagrad::new(a).epsilon(b).into(),
            _ => Lion::new(a).betas(b, c).weight_decay(d).into(),
        }
    })
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let shape = (0..6, any::<u64>(), any::<usize>(), [number(), number(), number()]);
    let shape = shape.prop_map(|(i, every, patience, [a, b, c])| match i {
        0 => Schedule::constant(),
        1 => Schedule::step(every, a),
        2 => Schedule::exponential(a),
        3 => Schedule::cosine(a),
        4 => Schedule::one_cycle_with(a, b, c),
        _ => Schedule::plateau(a, patience),
    });
    let ticks = || prop::option::of(prop_oneof![0u64..3, any::<u64>()]);
    let rest = (ticks(), ticks(), number(), prop::option::of(number()), any::<bool>());
    (shape, rest).prop_map(|(schedule, (over, warm_up, from, smallest, by_epoch))| {
        let schedule = over.map_or(schedule, |n| schedule.over(n));
        let schedule = warm_up.map_or(schedule, |n| schedule.warm_up(n, from));
        let schedule = smallest.map_or(schedule, |rate| schedule.smallest_rate(rate));
        if by_epoch { schedule.each_epoch() } else { schedule.each_step() }
    })
}

fn init() -> impl Strategy<Value = Init> {
    let of_number = [Init::Normal, Init::Uniform, Init::Constant, Init::Orthogonal];
    (prop::sample::select(of_number.to_vec()), number()).prop_map(|(init, x)| init(x))
}

fn threads() -> impl Strategy<Value = Threads> {
    prop_oneof![Just(Threads::One), Just(Threads::Current), any::<usize>().prop_map(Threads::N)]
}

/// Those that their `FromStr` takes, which checks the range.
fn activation() -> impl Strategy<Value = Activation> {
    let positive = || (0..f32::INFINITY.to_bits()).prop_map(f32::from_bits);
    prop_oneof![
        positive().prop_map(|slope| Activation::LeakyRelu { slope }),
        positive().prop_map(|alpha| Activation::Elu { alpha }),
        (2..=usize::MAX).prop_map(|units| Activation::Maxout { units }),
    ]
}

fn loss() -> impl Strategy<Value = Loss> {
    prop_oneof![
        number().prop_map(|delta| Loss::Huber { delta }),
        prop::collection::vec(number(), 1..5).prop_map(|quantiles| Loss::quantile(&quantiles)),
    ]
}

/// A text with a few characters taken out, put in or exchanged, or cut off.
fn damaged(mut text: Vec<char>, changes: &[(u8, usize, char)]) -> String {
    for &(kind, at, c) in changes {
        let at = at % (text.len() + 1);
        match kind % 4 {
            0 => text.insert(at, c),
            1 => text.truncate(at),
            2 if at < text.len() => text[at] = c,
            _ if at < text.len() => drop(text.remove(at)),
            _ => {}
        }
    }
    text.into_iter().collect()
}

/// A text is an error of the option's, or has a value that its own text gives again.
fn is_refused_or_read<T: Display + FromStr<Err = Error> + Debug>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => is_read(&value.to_string(), &value),
        Err(error) => {
            assert!(matches!(error, Error::Config { .. } | Error::Level { .. }), "{error:?}");
        }
    }
}

fn all_are_refused_or_read(text: &str) {
    is_refused_or_read::<Optimizer>(text);
    is_refused_or_read::<Schedule>(text);
    is_refused_or_read::<Init>(text);
    is_refused_or_read::<Threads>(text);
    is_refused_or_read::<Activation>(text);
    is_refused_or_read::<Loss>(text);
    is_refused_or_read::<Precision>(text);
    is_refused_or_read::<Level>(text);
}

proptest! {
    // The texts are short, and a case takes microseconds.
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_is_written_is_read(
        optimizer in optimizer(),
        schedule in schedule(),
        init in init(),
        threads in threads(),
        activation in activation(),
        loss in loss(),
    ) {
        is_read(&optimizer.to_string(), &optimizer);
        is_read(&schedule.to_string(), &schedule);
        is_read(&init.to_string(), &init);
        is_read(&threads.to_string(), &threads);
        is_read(&activation.to_string(), &activation);
        is_read(&loss.to_string(), &loss);
    }

    #[test]
    fn damaged_texts_are_errors_or_other_values(
        optimizer in optimizer(),
        schedule in schedule(),
        init in init(),
        loss in loss(),
        changes in prop::collection::vec((any::<u8>(), any::<usize>(), any::<char>()), 1..4),
    ) {
        for text in [optimizer.to_string(), schedule.to_string(), init.to_string(), loss.to_string()] {
            all_are_refused_or_read(&damaged(text.chars().collect(), &changes));
        }
    }

    #[test]
    fn any_text_is_an_error_or_a_value(text in "[a-z0-9:=,. -]{0,20}", other in any::<String>()) {
        all_are_refused_or_read(&text);
        all_are_refused_or_read(&other);
    }
}
