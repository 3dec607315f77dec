//! Where the examples get their data: the tests stand at the foot of the file itself. Here: what
//! it answers as a whole, without network and without MNIST, and with the real files.

#[path = "../common/mnist_files.rs"]
mod mnist_files;

use std::path::Path;

/// The real files, where the machine has them; `cargo test` needs none.
#[test]
fn real_mnist_is_found_where_it_lies() {
    let Some(dir) = std::env::var_os("DELTARULE_DATA") else {
        eprintln!("DELTARULE_DATA is not set: real MNIST not tested");
        return;
    };
    let source = mnist_files::find_or_fetch(Some(Path::new(&dir)));
    println!("{}", source.description);
    assert_eq!((source.train.len(), source.train.n_features()), (60_000, 784));
    assert_eq!((source.test.len(), source.test.n_features()), (10_000, 784));
    // Mean and standard deviation of the training pixels, as everyone normalises with them.
    let x = source.train.matrix();
    let n = x.as_slice().len() as f64;
    let mean = x.as_slice().iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let square = x.as_slice().iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / n;
    assert!((mean - 0.1307).abs() < 5e-5, "{mean}");
    assert!(((square - mean * mean).sqrt() - 0.3081).abs() < 5e-5);

    let (train, test) = deltarule::data::mnist::load(&dir).unwrap();
    assert_eq!((train, test), (source.train, source.test));
}
