//! Special values, independence of position and length, softmax's extremes, and the text form.

use deltarule::{Activation, Error, Level};

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;
/// The smallest positive float.
const TINY: f32 = f32::from_bits(1);

/// Same bits, or both NaN.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

/// Checks pairs (input, output) bit by bit, each alone and in every lane of a vector.
fn check(name: &str, apply: &dyn Fn(Level, &mut [f32]), pairs: &[(f32, f32)]) {
    for level in Level::available() {
        for (x, want) in pairs {
            for n in [1, 16] {
                let mut y = vec![*x; n];
                apply(level, &mut y);
                let right = y.iter().all(|y| same(*y, *want));
                assert!(right, "{name}({x:e}) = {y:?} at {}, want {want:e}", level.name());
            }
        }
    }
}

fn check_activation(function: Activation, pairs: &[(f32, f32)]) {
    let apply = |level: Level, x: &mut [f32]| function.forward(level, x);
    check(&function.to_string(), &apply, pairs);
}

#[test]
fn special_values_of_exp_and_ln() {
    let exp = [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (NAN, NAN), (TINY, 1.0)];
    check("exp", &Level::exp, &exp);
    // The last finite and the first infinite; the last above zero, by gradual underflow, and zero.
    let ends = [(88.722_83, 3.402_798_5e38), (88.722_84, INF), (-103.97, TINY), (-103.98, 0.0)];
    check("exp", &Level::exp, &ends);
    check("exp", &Level::exp, &[(f32::MAX, INF), (f32::MIN, 0.0)]);

    let ln = [(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (INF, INF), (-INF, NAN), (NAN, NAN)];
    check("ln", &Level::ln, &ln);
    let more = [(TINY, -103.278_93), (-TINY, NAN), (-1.0, NAN), (f32::MAX, 88.722_84)];
    check("ln", &Level::ln, &more);
}

#[test]
fn special_values_of_activations() {
    use Activation::*;
    check_activation(Identity, &[(-0.0, -0.0), (INF, INF), (NAN, NAN), (TINY, TINY)]);
    check_activation(Sigmoid, &[(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (NAN, NAN)]);
    check_activation(Sigmoid, &[(f32::MAX, 1.0), (f32::MIN, 0.0), (-103.97, TINY)]);
    check_activation(Tanh, &[(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN)]);
    check_activation(Tanh, &[(TINY, TINY), (-TINY, -TINY), (-1e-30, -1e-30), (f32::MAX, 1.0)]);
    check_activation(Relu, &[(0.0, 0.0), (-1.0, 0.0), (-INF, 0.0), (INF, INF), (NAN, NAN)]);
    check_activation(Activation::leaky_relu(), &[(-0.0, -0.0), (-INF, -INF), (NAN, NAN)]);
    check_activation(Activation::leaky_relu(), &[(-2.0, -0.2), (3.0, 3.0), (INF, INF)]);
    check_activation(Activation::elu(), &[(0.0, 0.0), (-0.0, -0.0), (-INF, -1.0), (INF, INF)]);
    check_activation(Activation::elu(), &[(NAN, NAN), (-TINY, -TINY), (-1e-30, -1e-30)]);
    check_activation(Elu { alpha: 0.5 }, &[(-INF, -0.5), (-200.0, -0.5), (2.0, 2.0)]);
    check_activation(Selu, &[(-0.0, -0.0), (-INF, -1.758_099_3), (INF, INF), (NAN, NAN)]);
    check_activation(Gelu, &[(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -0.0), (NAN, NAN)]);
    check_activation(Silu, &[(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -0.0), (NAN, NAN)]);
    check_activation(Softplus, &[(INF, INF), (-INF, 0.0), (NAN, NAN), (100.0, 100.0)]);
    check_activation(Softsign, &[(-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN), (1.0, 0.5)]);
    check_activation(HardTanh, &[(-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN), (0.5, 0.5)]);
    check_activation(Step, &[(0.0, 1.0), (-0.0, 1.0), (TINY, 1.0), (-TINY, 0.0), (NAN, NAN)]);
    check_activation(Step, &[(INF, 1.0), (-INF, 0.0)]);
    check_activation(Softmax, &[(-0.0, -0.0), (7.0, 7.0)]);
}

/// Inputs of every kind, some of them special.
fn inputs(n: usize) -> Vec<f32> {
    let mut x: Vec<f32> = (0..n).map(|i| (i as f32 * 1.7).sin() * (i % 23) as f32).collect();
    for (i, special) in [NAN, INF, -INF, -0.0, TINY, 1e30, -1e30].into_iter().enumerate() {
        if let Some(x) = x.get_mut(5 + 31 * i) {
            *x = special;
        }
    }
    x
}

#[test]
fn bits_do_not_depend_on_position_or_length() {
    type Apply = Box<dyn Fn(&mut [f32])>;
    let x = inputs(300);
    for level in Level::available() {
        let mut functions: Vec<Apply> = vec![Box::new(move |x| level.exp(x))];
        functions.push(Box::new(move |x| level.ln(x)));
        functions
            .extend(Activation::ALL.map(|f| -> Apply { Box::new(move |x| f.forward(level, x)) }));
        for (k, apply) in functions.iter().enumerate() {
            let mut want = x.clone();
            apply(&mut want);
            for n in 1..=257 {
                let start = n % 19;
                let mut y = x[start..start + n].to_vec();
                apply(&mut y);
                for (i, (y, want)) in y.iter().zip(&want[start..]).enumerate() {
                    assert!(same(*y, *want), "function {k}, {n} from {start}, element {i}");
                }
            }
        }
    }
}

#[test]
fn backward_does_not_depend_on_position_or_length_and_checks_lengths() {
    let x = inputs(300);
    for level in Level::available() {
        for function in Activation::ALL {
            let mut want = vec![0.75; 300];
            function.backward(level, &x, &mut want).unwrap();
            for n in 1..=257 {
                let start = n % 19;
                let mut d = vec![0.75; n];
                function.backward(level, &x[start..start + n], &mut d).unwrap();
                for (i, (d, want)) in d.iter().zip(&want[start..]).enumerate() {
                    assert!(same(*d, *want), "{function}, {n} from {start}, element {i}");
                }
            }
            let error = function.backward(level, &x[..3], &mut want).unwrap_err();
            assert!(matches!(error, Error::Shape { .. }), "{error}");
            assert!(error.to_string().contains("3 elements"), "{error}");
        }
    }
}

#[test]
fn avx2_and_avx512_give_the_same_bits() {
    let (Some(avx2), Some(avx512)) = (Level::avx2(), Level::avx512()) else {
        println!("this CPU lacks one of the two");
        return;
    };
    let x: Vec<f32> = (0..=u32::MAX).step_by(4_093).map(f32::from_bits).collect();
    let both = |name: &str, apply: &dyn Fn(Level, &mut [f32])| {
        let (mut a, mut b) = (x.clone(), x.clone());
        apply(avx2, &mut a);
        apply(avx512, &mut b);
        let first = (0..x.len()).find(|i| !same(a[*i], b[*i]));
        assert!(first.is_none(), "{name}({:e})", x[first.unwrap()]);
    };
    both("exp", &Level::exp);
    both("ln", &Level::ln);
    for function in Activation::ALL.into_iter().chain([Activation::Elu { alpha: 0.3 }]) {
        both(function.name(), &|level, x| function.forward(level, x));
        both(function.name(), &|level, d| function.backward(level, &x, d).unwrap());
    }
    for n in [1, 2, 10, 16, 17, 100, 1000] {
        let (mut a, mut b) = (inputs(4), inputs(4));
        a.extend((0..n).map(|i| (i as f32).cos() * 9.0));
        b.clone_from(&a);
        avx2.softmax(&mut a);
        avx512.softmax(&mut b);
        assert!(a.iter().zip(&b).all(|(a, b)| same(*a, *b)), "softmax of {n}");
    }
}

#[test]
fn softmax_against_f64() {
    for level in Level::available() {
        level.softmax(&mut []);
        for n in 1..=70 {
            for scale in [1.0, 30.0, 1e8] {
                let z: Vec<f32> = (0..n).map(|i| ((i * i + n) as f32).sin() * scale).collect();
                let mut p = z.clone();
                level.softmax(&mut p);
                let max = z.iter().copied().fold(-INF, f32::max);
                // The exact function of the rounded differences, which is what p promises.
                let e: Vec<f64> = z.iter().map(|z| f64::from(z - max).exp()).collect();
                let sum: f64 = e.iter().sum();
                for (p, e) in p.iter().zip(&e) {
                    let error = crate::ulp::ulps(*p, e / sum);
                    assert!(
                        error <= 4.0,
                        "{p} is {error} ULP from {} at {}",
                        e / sum,
                        level.name()
                    );
                }
            }
        }
    }
}

#[test]
fn softmax_of_extreme_rows() {
    for level in Level::available() {
        let softmax = |z: &[f32]| {
            let mut p = z.to_vec();
            level.softmax(&mut p);
            p
        };
        assert_eq!(softmax(&[1e8; 4]), [0.25; 4]);
        assert_eq!(softmax(&[f32::MAX, f32::MAX]), [0.5; 2]);
        assert_eq!(softmax(&[1e8, 0.0, -1e8]), [1.0, 0.0, 0.0]);
        assert_eq!(softmax(&[f32::MAX, f32::MIN]), [1.0, 0.0]);
        assert_eq!(softmax(&[-INF, 2.0, 2.0, -INF]), [0.0, 0.5, 0.5, 0.0]);
        assert_eq!(softmax(&[-3e38]), [1.0]);
        for bad in [NAN, INF] {
            for n in [1, 5, 16, 40] {
                for place in [0, n / 2, n - 1] {
                    let mut z = vec![1.0; n];
                    z[place] = bad;
                    assert!(softmax(&z).iter().all(|p| p.is_nan()), "{bad} at {place} of {n}");
                }
            }
        }
        assert!(softmax(&[-INF; 3]).iter().all(|p| p.is_nan()));
    }
}

#[test]
fn the_text_form_round_trips() {
    for function in Activation::ALL {
        assert_eq!(function.name().parse::<Activation>().unwrap(), function);
        assert_eq!(function.to_string().parse::<Activation>().unwrap(), function);
    }
    assert_eq!(
        "leaky-relu:0.2".parse::<Activation>().unwrap(),
        Activation::LeakyRelu { slope: 0.2 }
    );
    assert_eq!("elu:0.3".parse::<Activation>().unwrap(), Activation::Elu { alpha: 0.3 });
    assert_eq!(Activation::leaky_relu().to_string(), "leaky-relu:0.1");
    assert_eq!(Activation::Relu.to_string(), "relu");
    for (text, part) in [
        ("rleu", "expected one of identity, sigmoid"),
        ("relu:1", "relu takes no parameter"),
        ("elu:x", "not a number"),
        ("elu:", "not a number"),
        ("elu:-1", "at least 0"),
        ("leaky-relu:nan", "finite"),
        ("leaky-relu:inf", "finite"),
        ("", "expected one of"),
    ] {
        let error = text.parse::<Activation>().unwrap_err();
        assert!(matches!(error, Error::Config { .. }));
        assert!(error.to_string().contains(part), "{text:?}: {error}");
    }
}

#[test]
fn parameters_are_checked() {
    for good in [0.0, 0.1, 1.0, 3.0] {
        Activation::LeakyRelu { slope: good }.validate().unwrap();
        Activation::Elu { alpha: good }.validate().unwrap();
    }
    for bad in [-0.1, NAN, INF, -INF] {
        let error = Activation::LeakyRelu { slope: bad }.validate().unwrap_err();
        assert!(error.to_string().starts_with("leaky-relu: slope"), "{error}");
        assert!(Activation::Elu { alpha: bad }.validate().is_err());
    }
}
