//! Every operation of every level against scalar arithmetic.

use super::*;
use std::hint::black_box;

struct Check(Level);

impl Kernel for Check {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let xs: Vec<f32> = [0.0, -0.0, 1.0, -1.5, 2.5, 3.5, 1e-40, -1e30]
            .into_iter()
            .chain([f32::INFINITY, f32::NAN, -7.25, 0.1, 100.0, -0.5, 0.5, 1.5])
            .collect();
        let ys: Vec<f32> = xs.iter().rev().copied().collect();
        // One order of sums, and a > b ? a : b, wherever a NaN or a zero of the other sign stands.
        let mut line = [0.0; LINE];
        for turn in 0..LINE {
            line.copy_from_slice(&xs);
            line.rotate_left(turn);
            let join = |f: &dyn Fn(f32, f32) -> f32, x: &[f32; LINE]| {
                let eight: [f32; 8] = std::array::from_fn(|i| f(x[i], x[i + 8]));
                let four: [f32; 4] = std::array::from_fn(|i| f(eight[i], eight[i + 4]));
                f(f(four[0], four[2]), f(four[1], four[3]))
            };
            let max = join(&|a, b| if a > b { a } else { b }, &line);
            assert_eq!(s.max_line(&line).to_bits(), max.to_bits(), "{turn}");
            let small = line.map(|x| if x.abs() < 1e9 { x } else { 0.1 });
            assert_eq!(s.sum_line(&small).to_bits(), join(&|a, b| a + b, &small).to_bits());
            assert!(s.sum_line(&line).is_nan());
        }
        for i in (0..LINE).step_by(S::LANES) {
            let (a, b) = (s.load(&xs[i..]), s.load(&ys[i..]));
            let out = |v: S::V| {
                let mut out = vec![0.0; S::LANES];
                s.store(v, &mut out);
                out
            };
            let same = |name: &str, v: S::V, f: &dyn Fn(f32, f32) -> f32| {
                for (lane, got) in out(v).into_iter().enumerate() {
                    let (x, y) = (xs[i + lane], ys[i + lane]);
                    let want = f(x, y);
                    let equal = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
                    assert!(equal, "{name}({x}, {y}) = {got}, want {want}");
                }
            };
            same("add", s.add(a, b), &|x, y| x + y);
            same("sub", s.sub(a, b), &|x, y| x - y);
            same("mul", s.mul(a, b), &|x, y| x * y);
            same("div", s.div(a, b), &|x, y| x / y);
            same("residual", s.residual(a, b, a), &|x, y| {
                (f64::from(x) - f64::from(x) * f64::from(y)) as f32
            });
            same("fused", s.fused(a, b, a), &|x, y| x.mul_add(y, x));
            same("sqrt", s.sqrt(a), &|x, _| x.sqrt());
            same("min", s.min(a, b), &|x, y| if x < y { x } else { y });
            same("max", s.max(a, b), &|x, y| if x > y { x } else { y });
            same("round", s.round(a), &|x, _| x.round_ties_even());
            same("abs", s.abs(a), &|x, _| x.abs());
            same("with_sign_of", s.with_sign_of(s.abs(a), b), &|x, y| x.abs().copysign(y));
            let pick = |m: S::M| s.select(m, a, b);
            same("lt", pick(s.lt(a, b)), &|x, y| if x < y { x } else { y });
            same("le", pick(s.le(a, b)), &|x, y| if x <= y { x } else { y });
            same("is_nan", pick(s.is_nan(a)), &|x, y| if x.is_nan() { x } else { y });
            assert_eq!(s.any(s.is_nan(a)), xs[i..][..S::LANES].iter().any(|x| x.is_nan()));
            let bits = |f: &dyn Fn(i32, i32) -> i32, x: f32, y: f32| {
                f32::from_bits(f(x.to_bits() as i32, y.to_bits() as i32) as u32)
            };
            let (ia, ib) = (s.to_bits(a), s.to_bits(b));
            let int = |i: S::I| s.from_bits(i);
            same("and", int(s.int_and(ia, ib)), &|x, y| bits(&|p, q| p & q, x, y));
            same("or", int(s.int_or(ia, ib)), &|x, y| bits(&|p, q| p | q, x, y));
            same("xor", int(s.int_xor(ia, ib)), &|x, y| bits(&|p, q| p ^ q, x, y));
            same("imax", int(s.int_max(ia, ib)), &|x, y| bits(&i32::max, x, y));
            same("iadd", int(s.int_add(ia, ib)), &|x, y| bits(&i32::wrapping_add, x, y));
            same("isub", int(s.int_sub(ia, ib)), &|x, y| bits(&i32::wrapping_sub, x, y));
            same("shl", int(s.int_shl(ia, 3)), &|x, y| bits(&|p, _| p << 3, x, y));
            same("shr", int(s.int_shr(ia, 5)), &|x, y| bits(&|p, _| p >> 5, x, y));
            same("splat", int(s.int_splat(0x40490fdb)), &|_, _| f32::from_bits(0x40490fdb));
        }
        let mut out = vec![0.0; S::LANES];
        let whole: Vec<f32> = (0..16).map(|i| i as f32 * 9.0 - 126.0).collect();
        s.store(s.exp2_int(s.load(&whole)), &mut out);
        assert!(out.iter().zip(&whole).all(|(got, n)| *got == n.exp2()));
        let bytes: Vec<u8> = (0..16).map(|i| i * 17).collect();
        s.store(s.load_u8(&bytes), &mut out);
        assert!(out.iter().zip(&bytes).all(|(got, b)| *got == f32::from(*b)));
        let three = |x: f32| s.splat(x);
        s.store(s.mul_add(three(3.0), three(4.0), three(5.0)), &mut out);
        assert_eq!(out[S::LANES - 1], 17.0);
        s.store(s.neg_mul_add(three(3.0), three(4.0), three(5.0)), &mut out);
        assert_eq!(out[0], -7.0);
        s.store(s.from_int(s.to_int(three(-12.0))), &mut out);
        assert_eq!(out[0], -12.0);
        // ε² is lost where the product of 1 + ε with itself is rounded, and `residual` finds it.
        let (x, lost) = (s.splat(black_box(1.0 + f32::EPSILON)), f32::EPSILON * f32::EPSILON);
        s.store(s.mul_add(x, x, s.splat(-1.0 - 2.0 * f32::EPSILON)), &mut out);
        assert_eq!(out[0], if self.0 == Level::portable() { 0.0 } else { lost });
        s.store(s.residual(x, x, s.mul(x, x)), &mut out);
        assert_eq!(out[S::LANES - 1], -lost);

        let block: Vec<f32> = (0..256).map(|i| i as f32).collect();
        let mut turned = vec![-1.0; 16 * 20];
        // SAFETY: 16 x 16 floats in, 16 rows of 20 floats out.
        unsafe { s.transpose(block.as_ptr(), turned.as_mut_ptr(), 20) };
        for r in 0..16 {
            for c in 0..20 {
                let want = if c < 16 { block[c * 16 + r] } else { -1.0 };
                assert_eq!(turned[r * 20 + c], want);
            }
        }
    }
}

#[test]
fn every_operation_of_every_level() {
    for level in Level::available() {
        dispatch(level, Check(level));
    }
}

#[test]
fn a_cpu_with_avx2_runs_avx2() {
    // A level that silently went missing would make every other test weaker.
    #[cfg(target_arch = "x86_64")]
    assert_eq!(
        Level::avx2().is_some(),
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    );
    let names: Vec<_> = Level::available().map(Level::name).collect();
    println!("levels run: {names:?}");
}
