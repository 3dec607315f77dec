//! Data that means the same gives the same: any way into a reader is any other, a stream of chunks
//! and a mapped file are the data set in memory, and scaled data is scaled weights.

#[cfg(feature = "csv")]
mod csv;

use deltarule::data::{
    Array, ArrayData, Dataset, Standardizer, Stream, Targets, read_idx, read_idx_file, read_npy,
    read_npy_file, read_safetensors, read_safetensors_file,
};
use deltarule::{Activation, Adam, MatRef, Matrix, Mlp, Pipeline, Result, Sgd, Threads, Trainer};
use proptest::prelude::*;
use std::fmt::Debug;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// 64 cases a property: each writes some files and reads them in five ways.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() }
}

/// A reader that gives a few bytes at a time and is interrupted in between.
struct Trickle<'a> {
    bytes: &'a [u8],
    most: usize,
    is_interrupted: bool,
}

impl Read for Trickle<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.is_interrupted = !self.is_interrupted;
        if self.is_interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let n = self.bytes.len().min(out.len()).min(self.most);
        let (now, later) = self.bytes.split_at(n);
        out[..n].copy_from_slice(now);
        self.bytes = later;
        Ok(n)
    }
}

fn trickle(bytes: &[u8], most: usize) -> Trickle<'_> {
    Trickle { bytes, most, is_interrupted: false }
}

/// A file that goes with the value.
struct Temporary(PathBuf);

impl Temporary {
    fn new(bytes: &[u8]) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("deltarule-same-{}-{}", name.0, name.1));
        std::fs::write(&path, bytes).unwrap();
        Temporary(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(feature = "gzip")]
fn gzipped(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What every way into a reader gives for these bytes: as they are, and in gzip of one member, of
/// two, and padded with zeros.
fn ways<T>(
    bytes: &[u8],
    most: usize,
    read: impl Fn(&mut dyn Read) -> Result<T>,
    read_file: impl Fn(&Path) -> Result<T>,
) -> Vec<T> {
    #[allow(unused_mut, reason = "without gzip there is one")]
    let mut texts = vec![bytes.to_vec()];
    #[cfg(feature = "gzip")]
    {
        let (first, second) = bytes.split_at(most.min(bytes.len()));
        texts.push(gzipped(bytes));
        texts.push([gzipped(first), gzipped(second)].concat());
        texts.push([gzipped(bytes), vec![0; 512]].concat());
    }
    let mut answers = Vec::new();
    for text in &texts {
        let file = Temporary::new(text);
        answers.push(read(&mut &text[..]).unwrap());
        answers.push(read(&mut trickle(text, 1)).unwrap());
        answers.push(read(&mut trickle(text, most)).unwrap());
        answers.push(read_file(&file.0).unwrap());
    }
    answers
}

/// That all are what was meant.
fn all_are<T: PartialEq + Debug>(
    answers: &[T],
    want: &T,
) -> std::result::Result<(), TestCaseError> {
    for (i, answer) in answers.iter().enumerate() {
        prop_assert_eq!(answer, want, "way {}", i);
    }
    Ok(())
}

/// Sizes and as many values.
fn array() -> impl Strategy<Value = Array> {
    let shape = prop::collection::vec(0usize..6, 1..4);
    (shape, any::<u64>(), 0..5).prop_map(|(shape, seed, kind)| {
        let n: usize = shape.iter().product();
        let value = |i: usize| seed.rotate_left(i as u32 % 64).wrapping_mul(i as u64 | 1);
        let data = match kind {
            0 => ArrayData::U8((0..n).map(|i| value(i) as u8).collect()),
            1 => ArrayData::I16((0..n).map(|i| value(i) as i16).collect()),
            2 => ArrayData::I32((0..n).map(|i| value(i) as i32).collect()),
            3 => ArrayData::F32((0..n).map(|i| (value(i) as i32 as f32) / 3.0).collect()),
            _ => ArrayData::F64((0..n).map(|i| (value(i) as i64 as f64) / 3.0).collect()),
        };
        Array { shape, data }
    })
}

/// The values' bytes, and the type's name in IDX, NPY and safetensors.
fn encoded(data: &ArrayData, is_big: bool) -> (Vec<u8>, u8, &'static str, &'static str) {
    macro_rules! bytes {
        ($values:expr) => {
            $values.iter().flat_map(|x| if is_big { x.to_be_bytes() } else { x.to_le_bytes() })
        };
    }
    match data {
        ArrayData::U8(v) => (v.clone(), 0x08, "u1", "U8"),
        ArrayData::I16(v) => (bytes!(v).collect(), 0x0b, "i2", "I16"),
        ArrayData::I32(v) => (bytes!(v).collect(), 0x0c, "i4", "I32"),
        ArrayData::F32(v) => (bytes!(v).collect(), 0x0d, "f4", "F32"),
        ArrayData::F64(v) => (bytes!(v).collect(), 0x0e, "f8", "F64"),
        other => unreachable!("{}", other.type_name()),
    }
}

fn idx(array: &Array) -> Vec<u8> {
    let (bytes, kind, ..) = encoded(&array.data, true);
    let mut file = vec![0, 0, kind, array.shape.len() as u8];
    array.shape.iter().for_each(|&size| file.extend((size as u32).to_be_bytes()));
    [file, bytes].concat()
}

fn npy(array: &Array, is_big: bool) -> Vec<u8> {
    let (bytes, _, name, _) = encoded(&array.data, is_big);
    let order = if is_big { '>' } else { '<' };
    let shape: String = array.shape.iter().map(|size| format!("{size}, ")).collect();
    let header =
        format!("{{'descr': '{order}{name}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), &bytes].concat()
}

fn safetensors(array: &Array) -> Vec<u8> {
    let (bytes, _, _, name) = encoded(&array.data, false);
    let (shape, end) = (&array.shape, bytes.len());
    let counter = "\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}";
    let end = end + 8;
    let header = format!(
        "{{{counter},\"x\":{{\"dtype\":\"{name}\",\"shape\":{shape:?},\"data_offsets\":[8,{end}]}}}}"
    );
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[1; 8], &bytes].concat()
}

/// A small network of any depth.
fn net() -> impl Strategy<Value = Mlp> {
    let activation = prop::sample::select(vec![
        Activation::Relu,
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::Gelu,
        Activation::Identity,
    ]);
    let hidden = prop::collection::vec((1usize..20, activation), 0..3);
    (hidden, 1usize..4, any::<u64>()).prop_map(|(hidden, n_out, seed)| {
        let mut builder = Mlp::builder(5).seed(seed);
        for (n, activation) in hidden {
            builder = builder.dense(n, activation);
        }
        builder.dense(n_out, Activation::Identity).build().unwrap()
    })
}

/// Rows of five bytes with a value each, which is the row's number, for as many outputs.
fn rows_of_bytes(rows: usize, n_outputs: usize, seed: u64) -> (Vec<u8>, Targets) {
    let byte =
        |i: usize| (seed.rotate_left(i as u32 % 61).wrapping_mul(2 * i as u64 + 1) >> 7) as u8;
    let values = (0..rows * n_outputs).map(|i| (i / n_outputs) as f32).collect();
    ((0..5 * rows).map(byte).collect(), Targets::Values { values, n_outputs })
}

fn trained(net: &Mlp, data: &[Dataset]) -> u64 {
    let mut net = net.clone();
    let trainer = Trainer::new(Adam::new(0.01)).batch_size(7).threads(Threads::One);
    let mut training = trainer.session_values(&mut net).unwrap();
    data.iter().for_each(|data| assert!(training.partial_fit(data).unwrap().is_finite()));
    drop(training);
    net.digest()
}

/// The numbers of the rows, from their targets.
fn order(data: &Dataset) -> Vec<usize> {
    let Targets::Values { values, n_outputs } = data.targets() else { unreachable!() };
    values.chunks(*n_outputs).map(|row| row[0] as usize).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn arrays_are_the_same_by_every_way(array in array(), is_big: bool, most in 2usize..5000) {
        all_are(&ways(&idx(&array), most, |r| read_idx(r), |p| read_idx_file(p)), &array)?;
        let file = npy(&array, is_big);
        all_are(&ways(&file, most, |r| read_npy(r), |p| read_npy_file(p)), &array)?;
        let bytes = safetensors(&array);
        let file = Temporary::new(&bytes);
        let answers = [
            read_safetensors(&bytes[..], "x").unwrap(),
            read_safetensors(trickle(&bytes, 1), "x").unwrap(),
            read_safetensors(trickle(&bytes, most), "x").unwrap(),
            read_safetensors_file(&file.0, "x").unwrap(),
        ];
        all_are(&answers, &array)?;
    }

    #[test]
    fn models_are_the_same_by_every_way(net in net(), most in 2usize..5000) {
        let scaler = |n: usize| {
            let number = |i: usize, by: f64| (i as f64 + 1.0) / by;
            let mean = (0..n).map(|i| number(i, 3.0)).collect();
            Standardizer::from_parts(mean, (0..n).map(|i| number(i, 7.0)).collect()).unwrap()
        };
        let pipeline = Pipeline::new(net.clone());
        let pipeline = pipeline.inputs(scaler(5)).unwrap().targets(scaler(net.n_out())).unwrap();
        let x = MatRef::new(&[0.5, -1.0, 2.0, 0.25, 3.0], 1, 5).unwrap();
        let want = pipeline.predict(x).unwrap();
        let mut bytes = Vec::new();
        pipeline.write_to(&mut bytes).unwrap();
        let file = Temporary::new(b"");
        pipeline.save(&file.0).unwrap();
        prop_assert_eq!(&std::fs::read(&file.0).unwrap(), &bytes);
        for back in [
            Pipeline::read_from(&bytes[..]),
            Pipeline::read_from(trickle(&bytes, 1)),
            Pipeline::read_from(trickle(&bytes, most)),
            Pipeline::load(&file.0),
        ] {
            let back = back.unwrap();
            prop_assert_eq!(back.network().digest(), net.digest());
            prop_assert_eq!(back.predict(x).unwrap(), want.clone());
        }
    }

    /// Each chunk is some rows of the data set, all chunks are all of it, and training on a chunk is
    /// training on these rows.
    #[test]
    fn a_stream_is_the_data_set(
        net in net(),
        rows in 1usize..60,
        chunk_rows in 1usize..70,
        seed: u64,
        epoch in 0u64..4,
    ) {
        let (bytes, targets) = rows_of_bytes(rows, net.n_out(), seed);
        let data = Dataset::from_u8(bytes.clone(), 5, targets.clone()).unwrap();
        let file = Temporary::new(&[&[1; 3][..], &bytes].concat());
        let stream = Stream::open(&file.0, 3, 5, targets).unwrap().chunk_rows(chunk_rows);
        let chunks: Vec<Dataset> = stream.epoch(seed, epoch).unwrap().map(Result::unwrap).collect();
        prop_assert_eq!(chunks.len(), rows.div_ceil(chunk_rows));
        let orders: Vec<Vec<usize>> = chunks.iter().map(order).collect();
        let mut all = orders.concat();
        all.sort_unstable();
        prop_assert!(all.into_iter().eq(0..rows));
        let selected: Vec<Dataset> =
            orders.iter().map(|order| data.select(order).unwrap()).collect();
        prop_assert_eq!(&selected, &chunks);
        prop_assert_eq!(trained(&net, &chunks), trained(&net, &selected));
    }

    /// In memory or mapped, and bytes or the f32 that they stand for.
    #[test]
    fn a_mapped_file_is_the_data_set(net in net(), rows in 1usize..60, seed: u64) {
        let (bytes, targets) = rows_of_bytes(rows, net.n_out(), seed);
        let data = Dataset::from_u8(bytes.clone(), 5, targets.clone()).unwrap();
        let values = data.matrix();
        let wide = Dataset::from_f32(values.as_slice().to_vec(), 5, targets.clone()).unwrap();
        prop_assert_eq!(data.matrix(), wide.matrix());
        let want = trained(&net, std::slice::from_ref(&data));
        prop_assert_eq!(trained(&net, &[wide]), want);
        let standard = Standardizer::fit_features(&data);
        prop_assert_eq!(&standard, &Standardizer::fit(values.view()).unwrap());
        #[cfg(feature = "mmap")]
        {
            let file = Temporary::new(&[&[1; 8][..], &bytes].concat());
            // SAFETY: nobody else knows the files.
            let mapped = unsafe { Dataset::map_u8(&file.0, 8, 5, targets.clone()) }.unwrap();
            prop_assert_eq!(&mapped, &data);
            prop_assert_eq!(&Standardizer::fit_features(&mapped), &standard);
            prop_assert_eq!(trained(&net, &[mapped]), want);
            let bytes: Vec<u8> = values.as_slice().iter().flat_map(|x| x.to_le_bytes()).collect();
            let file = Temporary::new(&bytes);
            // SAFETY: as above.
            let mapped = unsafe { Dataset::map_f32(&file.0, 0, 5, targets) }.unwrap();
            prop_assert_eq!(trained(&net, &[mapped]), want);
        }
    }

    /// Data times c is the first layer's weights times c: to the last bit where c is a power of two,
    /// which only changes exponents.
    #[test]
    fn scaled_data_is_scaled_weights(net in net(), rows in 1usize..30, seed: u64, power in -8..8i32) {
        let (bytes, targets) = rows_of_bytes(rows, net.n_out(), seed);
        let data = Dataset::from_u8(bytes, 5, targets.clone()).unwrap();
        let c = 2f32.powi(power);
        let scaled = data.matrix().as_slice().iter().map(|x| x * c).collect();
        let scaled = Dataset::from_f32(scaled, 5, targets.clone()).unwrap();
        let mut other = net.clone();
        let weights = net.weights(0).unwrap();
        let times_c = weights.as_slice().iter().map(|w| w * c).collect();
        let times_c = Matrix::from_vec(weights.rows(), weights.cols(), times_c).unwrap();
        other.set_parameters(0, times_c.view(), &net.biases(0).unwrap()).unwrap();
        let by_data = net.predict(scaled.matrix().view()).unwrap();
        prop_assert_eq!(&by_data, &other.predict(data.matrix().view()).unwrap());
        prop_assert_eq!(net.evaluate(&scaled).unwrap(), other.evaluate(&data).unwrap());
        // Bytes with a scale are the same data once more.
        let bytes = data.with_scale(c * (1.0 / 255.0), 0.0).unwrap();
        prop_assert_eq!(&bytes.matrix(), &scaled.matrix());
        prop_assert_eq!(net.evaluate(&bytes).unwrap(), net.evaluate(&scaled).unwrap());
    }

    /// One step on data times c moves the weights of a linear network c times as far, which is the
    /// step of c² times the rate on the weights times c; the biases see no difference.
    #[test]
    fn a_step_on_scaled_data_is_a_step_of_scaled_weights(seed: u64, power in -3..3i32) {
        let c = 2f32.powi(power);
        let linear = |seed| Mlp::builder(5).dense(1, Activation::Identity).seed(seed).build().unwrap();
        let (mut by_data, mut by_weights) = (linear(seed), linear(seed));
        let start = by_data.weights(0).unwrap();
        let times_c = start.as_slice().iter().map(|w| w * c).collect();
        let times_c = Matrix::from_vec(5, 1, times_c).unwrap();
        let biases = by_data.biases(0).unwrap();
        by_weights.set_parameters(0, times_c.view(), &biases).unwrap();
        let (bytes, targets) = rows_of_bytes(6, 1, seed);
        let data = Dataset::from_u8(bytes, 5, targets.clone()).unwrap();
        let scaled = data.matrix().as_slice().iter().map(|x| x * c).collect();
        let scaled = Dataset::from_f32(scaled, 5, targets).unwrap();
        let rate = 2f32.powi(-7);
        let step = |net: &mut Mlp, rate: f32, data: &Dataset| {
            let trainer = Trainer::new(Sgd::new(rate)).batch_size(6).threads(Threads::One);
            trainer.session_values(net).unwrap().partial_fit(data).unwrap();
        };
        step(&mut by_data, rate, &scaled);
        step(&mut by_weights, rate * c * c, &data);
        let (a, b) = (by_data.weights(0).unwrap(), by_weights.weights(0).unwrap());
        for (a, b) in a.as_slice().iter().zip(b.as_slice()) {
            prop_assert_eq!((a * c).to_bits(), b.to_bits());
        }
    }

    /// Standardised data is weights and biases that do it: W / σ and b − µ W / σ, in f64.
    #[test]
    fn a_pipeline_is_its_weights(rows in 2usize..30, seed: u64, offset in -1000.0..1000.0f64) {
        let net = Mlp::builder(5).dense(3, Activation::Identity).seed(seed).build().unwrap();
        let (bytes, targets) = rows_of_bytes(rows, 3, seed);
        let data = Dataset::from_u8(bytes, 5, targets).unwrap().with_scale(0.5, offset as f32);
        let x = data.unwrap().matrix();
        let scaler = Standardizer::fit(x.view()).unwrap();
        let pipeline = Pipeline::new(net.clone()).inputs(scaler.clone()).unwrap();
        let got = pipeline.predict(x.view()).unwrap();
        let (w, b) = (net.weights(0).unwrap(), net.biases(0).unwrap());
        for r in 0..rows {
            for (out, bias) in b.iter().enumerate() {
                let mut want = f64::from(*bias);
                let mut size = 1.0;
                for (i, &x) in x.row(r).iter().enumerate() {
                    let scaled = f64::from(w.row(i)[out]) / scaler.std()[i];
                    want += f64::from(x) * scaled - scaler.mean()[i] * scaled;
                    size += ((f64::from(x) - scaler.mean()[i]) * scaled).abs();
                }
                let error = (f64::from(got.row(r)[out]) - want).abs();
                prop_assert!(error <= 1e-6 * size, "{error} of {size}");
            }
        }
    }
}
