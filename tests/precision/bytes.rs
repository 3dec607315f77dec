//! Data sets of bytes: the first layer takes them as they are.

use super::folder::Folder;
use super::support::Data;
use super::{N_IN, N_OUT, ROWS, check_gradients, net};
use deltarule::data::{Dataset, Targets};
use deltarule::{Activation, Adam, Every, Hardware, Level, Mlp, Precision, Threads, Trainer};

/// Bytes as they are, and as MNIST is usually standardised.
const SCALINGS: [(f32, f32); 2] = [(1.0 / 255.0, 0.0), (1.0 / 255.0 / 0.3081, -0.1307 / 0.3081)];

fn values(n_in: usize) -> Vec<u8> {
    let mut data = Data::new(7);
    (0..ROWS * n_in).map(|_| data.below(256) as u8).collect()
}

fn targets(classes: usize) -> Targets {
    let labels = (0..ROWS).map(|i| (i * 7 % classes) as u32).collect();
    Targets::Classes { labels, n_classes: classes }
}

fn data(n_in: usize, classes: usize, (scale, shift): (f32, f32)) -> Dataset {
    let bytes = Dataset::from_u8(values(n_in), n_in, targets(classes)).unwrap();
    bytes.with_scale(scale, shift).unwrap()
}

/// The same values in f32.
fn floats(n_in: usize, classes: usize, (scale, shift): (f32, f32)) -> Dataset {
    let value = |byte: u8| f32::from(byte).mul_add(scale, shift);
    let values = values(n_in).into_iter().map(value).collect();
    Dataset::from_f32(values, n_in, targets(classes)).unwrap()
}

/// Batches with a last one of 9 rows.
fn trainer(precision: Precision, threads: Threads) -> Trainer<'static> {
    Trainer::new(Adam::new(0.001)).precision(precision).batch_size(97).seed(1).threads(threads)
}

fn digest(mut trainer: Trainer, mut net: Mlp, data: &Dataset) -> u64 {
    trainer.fit(&mut net, data).unwrap();
    net.digest()
}

#[test]
fn any_number_of_threads_trains_the_same_bits() {
    let [plain, shifted] = SCALINGS.map(|scaling| data(N_IN, N_OUT, scaling));
    for (level, precision) in Level::available().flat_map(|l| Precision::ALL.map(|p| (l, p))) {
        let train = |threads| {
            let adjusted = trainer(precision, threads).accumulate(2).clip_norm(1.0).max_norm(0.9);
            [
                digest(trainer(precision, threads), net(level), &plain),
                digest(adjusted, net(level), &shifted),
            ]
        };
        let one = train(Threads::One);
        for n in [2, 3] {
            assert_eq!(one, train(Threads::N(n)), "{} {precision} {n}", level.name());
        }
    }
}

#[test]
fn bf16_is_the_same_with_and_without_tiles() {
    for scaling in SCALINGS {
        let levels = [Level::avx512(), Level::avx2()].into_iter().flatten();
        let train = |level| {
            let trainer = trainer(Precision::Bf16, Threads::N(2));
            digest(trainer, net(level), &data(N_IN, N_OUT, scaling))
        };
        let digests: Vec<u64> = levels.map(train).collect();
        assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

/// One step of gradient descent from the same weights: the difference of the weights is the
/// gradient's error.
#[test]
fn gradients_are_close_to_f32() {
    for (level, scaling) in Level::available().flat_map(|l| SCALINGS.map(|s| (l, s))) {
        check_gradients(level, &data(N_IN, 64, scaling));
    }
}

/// Values that no level rounds differently, and of which most are no bf16.
const THIRDS: (f32, f32) = (1.0 / 3.0, 0.0);

#[test]
fn bytes_are_taken_where_the_first_layer_is_split() {
    for (level, precision) in Level::available().flat_map(|l| Precision::ALL.map(|p| (l, p))) {
        let train = |data| digest(trainer(precision, Threads::N(2)), net(level), &data);
        let same = train(data(N_IN, N_OUT, THIRDS)) == train(floats(N_IN, N_OUT, THIRDS));
        let is_f32 = precision.hardware(level) == Hardware::F32;
        assert_eq!(same, is_f32, "{} {precision}", level.name());
    }
}

#[test]
fn bytes_are_f32_where_their_values_are_needed() {
    let out = |builder: deltarule::MlpBuilder, level| {
        builder.dense(N_OUT, Activation::Softmax).level(level).seed(2).build().unwrap()
    };
    let narrow = |level| {
        out(Mlp::builder(N_IN).dense(40, Activation::Relu).dense(70, Activation::Relu), level)
    };
    let dropped = |level| out(Mlp::builder(N_IN).dropout(0.2).dense(70, Activation::Relu), level);
    let added = |level| {
        let builder = Mlp::builder(N_IN).dense(80, Activation::Relu);
        out(builder.dense(N_IN, Activation::Relu).residual(2), level)
    };
    for level in Level::available() {
        for (name, net) in
            [("narrow", narrow(level)), ("dropout", dropped(level)), ("residual", added(level))]
        {
            let train = |data| digest(trainer(Precision::Bf16, Threads::N(2)), net.clone(), &data);
            let [bytes, floats] =
                [data(N_IN, N_OUT, THIRDS), floats(N_IN, N_OUT, THIRDS)].map(train);
            assert_eq!(bytes, floats, "{} {name}", level.name());
        }
    }
}

#[test]
fn a_run_goes_on_to_the_same_bits() {
    let folder = Folder::new("precision-bytes");
    for (i, (precision, scaling)) in
        Precision::ALL.into_iter().flat_map(|p| SCALINGS.map(|s| (p, s))).enumerate()
    {
        let file = folder.0.join(format!("run{i}.safetensors"));
        let (data, level) = (data(N_IN, N_OUT, scaling), Level::best());
        let trainer = || trainer(precision, Threads::N(2)).accumulate(3);
        let whole = digest(trainer().epochs(2), net(level), &data);
        let mut half = net(level);
        trainer().epochs(1).checkpoint(&file, Every::Steps(3)).fit(&mut half, &data).unwrap();
        let resumed = digest(trainer().epochs(2).resume(&file), net(level), &data);
        assert_eq!(resumed, whole, "{precision} {scaling:?}");
        // The same values in f32 are another data set.
        let refused =
            trainer().epochs(2).resume(&file).fit(&mut half, &floats(N_IN, N_OUT, scaling));
        assert!(refused.unwrap_err().to_string().contains("data set"));
    }
}

/// A session may be given bytes with a shift, without one, and f32, in any order: its steps depend
/// on what they are given, not on what came before.
#[test]
fn portions_of_every_kind_follow_each_other() {
    let portions = [
        data(N_IN, N_OUT, SCALINGS[0]),
        floats(N_IN, N_OUT, SCALINGS[1]),
        data(N_IN, N_OUT, SCALINGS[1]),
        data(N_IN, N_OUT, SCALINGS[0]),
    ];
    for (level, precision) in Level::available().flat_map(|l| Precision::ALL.map(|p| (l, p))) {
        let whole = |threads| {
            let mut net = net(level);
            let mut training = trainer(precision, threads).start(&mut net).unwrap();
            portions.iter().for_each(|data| _ = training.partial_fit(data).unwrap());
            drop(training);
            net.digest()
        };
        // A session of its own for each portion.
        let parted = || {
            let (mut net, mut checkpoint) = (net(level), Vec::new());
            for data in &portions {
                let mut training = trainer(precision, Threads::One).start(&mut net).unwrap();
                if !checkpoint.is_empty() {
                    training.read_checkpoint(&checkpoint[..]).unwrap();
                }
                training.partial_fit(data).unwrap();
                checkpoint.clear();
                training.write_checkpoint(&mut checkpoint).unwrap();
            }
            net.digest()
        };
        let one = whole(Threads::One);
        assert_eq!([whole(Threads::N(3)), parted()], [one; 2], "{} {precision}", level.name());
    }
}
