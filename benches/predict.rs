//! Predicting one row and 1024 rows with the five networks, and one row with a tiny one beside a
//! loop as one would write it by hand; and gradients of the inputs. `cargo bench --bench predict`.

mod common;

use common::{Numbers, WORKLOADS, flops};
use criterion::{Criterion, Throughput};
use deltarule::{Activation, Level, MatMut, MatRef, Matrix, Mlp, Predictor, Threads};
use std::hint::black_box;

type Clock = Criterion<flops::Flops>;

/// Rows up to which the naive path is compared and timed.
const NAIVE_UP_TO: u64 = 200_000_000;

fn predict(c: &mut Clock, name: &str, net: impl Fn(Level) -> Mlp, flops_a_row: u64, rows: usize) {
    let mut group = c.benchmark_group(format!("predict/{name}/{rows}"));
    group.throughput(Throughput::Elements(flops_a_row * rows as u64));
    let best = Level::best();
    let (n_in, n_out) = (net(best).n_in(), net(best).n_out());
    let features = Numbers(7).uniform(rows * n_in);
    let x = MatRef::new(&features, rows, n_in).expect("rows");
    // The first and the last row by the naive path.
    let reference = common::naive(&net(best));
    let ends: Vec<f32> = [x.row(0), x.row(rows - 1)].concat();
    let want = reference.forward(&ends).expect("two rows");

    let one = Level::available().map(|level| (level, Threads::One, 1, level.name().to_string()));
    let two = (best, Threads::N(2), 2, format!("{}-2-threads", best.name()));
    for (level, threads, n, id) in one.chain((common::two_cores() && rows > 1).then_some(two)) {
        let net = net(level);
        let mut predictor = Predictor::new(&net, rows, threads).expect("a predictor");
        let mut out = vec![0.0; rows * n_out];
        let mut call = |x: MatRef, out: &mut [f32]| {
            let out = MatMut::new(out, rows, n_out).expect("outputs");
            predictor.predict_into(x, out).expect("rows that fit");
        };
        call(x, &mut out);
        let got = out[..n_out].iter().chain(&out[(rows - 1) * n_out..]);
        let close = got.zip(&want).all(|(g, w)| (g - w).abs() < 1e-4);
        assert!(close, "{name} {id}: the outputs differ from the naive path's");
        flops::against(level, n);
        group.bench_function(id, |bench| bench.iter(|| call(black_box(x), &mut out)));
    }
    flops::against(best, 1);
    if flops_a_row * rows as u64 <= NAIVE_UP_TO {
        group.bench_function("naive", |bench| bench.iter(|| reference.forward(&features)));
    }
    group.finish();
}

/// 6-64-8-4 with ReLU and softmax, sizes in the types and nothing on the heap: what one would
/// write by hand for one row.
struct ByHand {
    w1: [[f32; 64]; 6],
    b1: [f32; 64],
    w2: [[f32; 8]; 64],
    b2: [f32; 8],
    w3: [[f32; 4]; 8],
    b3: [f32; 4],
}

fn layer<const K: usize, const N: usize>(x: [f32; K], w: &[[f32; N]; K], b: &[f32; N]) -> [f32; N] {
    let mut z = *b;
    for (x, w) in x.iter().zip(w) {
        for (z, w) in z.iter_mut().zip(w) {
            *z += x * w;
        }
    }
    z
}

impl ByHand {
    fn of(net: &Mlp) -> ByHand {
        fn weights<const K: usize, const N: usize>(net: &Mlp, layer: usize) -> [[f32; N]; K] {
            let w = net.weights(layer).expect("weights");
            std::array::from_fn(|r| std::array::from_fn(|c| w.row(r)[c]))
        }
        fn biases<const N: usize>(net: &Mlp, layer: usize) -> [f32; N] {
            net.biases(layer).expect("biases").try_into().expect("a bias a neuron")
        }
        ByHand {
            w1: weights(net, 0),
            b1: biases(net, 0),
            w2: weights(net, 1),
            b2: biases(net, 1),
            w3: weights(net, 2),
            b3: biases(net, 2),
        }
    }

    fn predict(&self, x: [f32; 6]) -> [f32; 4] {
        let a = layer(x, &self.w1, &self.b1).map(|z| z.max(0.0));
        let a = layer(a, &self.w2, &self.b2).map(|z| z.max(0.0));
        let z = layer(a, &self.w3, &self.b3);
        let max = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let e = z.map(|z| (z - max).exp());
        let sum: f32 = e.iter().sum();
        e.map(|e| e / sum)
    }
}

fn tiny(c: &mut Clock) {
    let layers = [6, 64, 8, 4];
    let flops: u64 = layers.windows(2).map(|w| 2 * (w[0] * w[1]) as u64).sum();
    let net = |level| common::net(&layers, Activation::Relu, level);
    predict(c, "tiny", net, flops, 1);

    let net = net(Level::best());
    let by_hand = ByHand::of(&net);
    let x = [0.1, 0.9, 0.4, 0.6, 0.2, 0.7];
    let want = net.predict(MatRef::new(&x, 1, 6).expect("a row")).expect("a row");
    let got = by_hand.predict(x);
    assert!(got.iter().zip(want.row(0)).all(|(g, w)| (g - w).abs() < 1e-5), "{got:?} {want:?}");
    let mut group = c.benchmark_group("predict/tiny/1");
    group.throughput(Throughput::Elements(flops));
    group.bench_function("by-hand", |bench| bench.iter(|| by_hand.predict(black_box(x))));
    group.finish();
}

/// ∂L/∂x of a batch beside its forward pass, which it has in it: the goal is at most 2.2 times as long,
/// since the reverse does the same FLOPs once more.
fn input_gradient(c: &mut Clock, name: &str, net: &Mlp, flops_a_row: u64, rows: usize) {
    let mut group = c.benchmark_group(format!("input-gradient/{name}/{rows}"));
    let (features, dy) =
        (Numbers(7).uniform(rows * net.n_in()), Numbers(8).uniform(rows * net.n_out()));
    let x = MatRef::new(&features, rows, net.n_in()).expect("rows");
    let dy = MatRef::new(&dy, rows, net.n_out()).expect("gradients");
    let mut predictor = Predictor::new(net, rows, Threads::One).expect("a predictor");
    let (mut y, mut dx) = (Matrix::zeros(rows, net.n_out()), Matrix::zeros(rows, net.n_in()));
    flops::against(Level::best(), 1);
    group.throughput(Throughput::Elements(flops_a_row * rows as u64));
    group.bench_function("forward", |bench| {
        bench.iter(|| predictor.predict_into(black_box(x), &mut y).expect("rows that fit"));
    });
    group.throughput(Throughput::Elements(2 * flops_a_row * rows as u64));
    group.bench_function("gradient", |bench| {
        bench.iter(|| predictor.input_gradient(black_box(x), dy, &mut dx).expect("rows that fit"));
    });
    group.finish();
}

fn main() {
    let mut c = flops::criterion().configure_from_args();
    tiny(&mut c);
    for w in &WORKLOADS {
        for rows in [1, 1024] {
            predict(&mut c, w.name, |level| w.net(level), w.forward_flops(), rows);
            input_gradient(&mut c, w.name, &w.net(Level::best()), w.forward_flops(), rows);
        }
    }
    c.final_summary();
}
