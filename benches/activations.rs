//! Element-wise functions over 4096 floats in L1, at every level, beside the plain loop over the
//! standard library. Run with `cargo bench --bench activations`, one function with `-- tanh/`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use deltarule::{Activation, Level};
use std::hint::black_box;

const N: usize = 4096;

/// Inputs as a layer sees them: most of them near 0, some far out.
fn inputs() -> Vec<f32> {
    (0..N).map(|i| (i as f32 * 0.73).sin() * (1 + i % 7) as f32).collect()
}

/// The function as most would write it.
fn plain(function: Activation) -> Option<fn(f32) -> f32> {
    Some(match function {
        Activation::Sigmoid => |z| 1.0 / (1.0 + (-z).exp()),
        Activation::Tanh => f32::tanh,
        Activation::Relu => |z| z.max(0.0),
        Activation::LeakyRelu { .. } => |z| if z > 0.0 { z } else { 0.1 * z },
        Activation::Elu { .. } => |z| if z > 0.0 { z } else { z.exp_m1() },
        Activation::Silu => |z| z / (1.0 + (-z).exp()),
        Activation::Selu => |z| if z > 0.0 { 1.050701 * z } else { 1.7580993 * z.exp_m1() },
        Activation::Softplus => |z| z.max(0.0) + (-z.abs()).exp().ln_1p(),
        Activation::Softsign => |z| z / (1.0 + z.abs()),
        Activation::HardTanh => |z| z.clamp(-1.0, 1.0),
        Activation::Step => |z| f32::from(z >= 0.0),
        // No erf in the standard library; the others have no work to do.
        _ => return None,
    })
}

/// Times `run`, which works on a copy of `x` in place, after comparing it with the plain loop.
fn bench(
    c: &mut Criterion,
    name: &str,
    x: &[f32],
    run: &dyn Fn(Level, &mut [f32]),
    plain: Option<&dyn Fn(f32) -> f32>,
) {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(N as u64));
    let mut y = x.to_vec();
    for level in Level::available() {
        y.copy_from_slice(x);
        run(level, &mut y);
        if let Some(plain) = plain {
            for (x, y) in x.iter().zip(&y) {
                let want = plain(*x);
                let close = (y - want).abs() <= 1e-6 * (1.0 + want.abs());
                assert!(close, "{name}({x}) = {y}, want {want}");
            }
        }
        // The copy is part of what is timed: about 0.03 ns an element.
        group.bench_function(BenchmarkId::from_parameter(level.name()), |b| {
            b.iter(|| {
                y.copy_from_slice(black_box(x));
                run(level, &mut y);
                black_box(&mut y);
            })
        });
    }
    if let Some(plain) = plain {
        group.bench_function("plain", |b| {
            b.iter(|| {
                for (y, x) in y.iter_mut().zip(black_box(x)) {
                    *y = plain(*x);
                }
                black_box(&mut y);
            })
        });
    }
    group.finish();
}

fn activations(c: &mut Criterion) {
    let x = inputs();
    let positive: Vec<f32> = x.iter().map(|x| x.abs() + 0.01).collect();
    bench(c, "exp", &x, &Level::exp, Some(&f32::exp));
    bench(c, "ln", &positive, &Level::ln, Some(&f32::ln));
    bench(c, "softmax", &x, &Level::softmax, None);
    for function in Activation::ALL {
        let plain = plain(function);
        let forward = |level: Level, x: &mut [f32]| function.forward(level, x);
        let plain = plain.as_ref().map(|f| f as &dyn Fn(f32) -> f32);
        bench(c, function.name(), &x, &forward, plain);
    }
}

/// Backward: d · σ′ from what forward kept.
fn derivatives(c: &mut Criterion) {
    let x = inputs();
    for function in Activation::ALL {
        let mut kept = x.clone();
        function.forward(Level::best(), &mut kept);
        let backward = |level: Level, d: &mut [f32]| {
            function.backward(level, &kept, d).expect("one length");
        };
        bench(c, &format!("{}-backward", function.name()), &x, &backward, None);
    }
}

criterion_group!(benches, activations, derivatives);
criterion_main!(benches);
