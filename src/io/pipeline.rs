//! A network and its standardisation, in one value and one file.

use super::metadata::{INPUT_KEYS, MODEL, TARGET_KEYS};
use super::model::{empty_model, read_parameters, save, write_to};
use crate::data::Standardizer;
use crate::error::{Error, Result};
use crate::format::{Contents, read_file, read_stream};
use crate::network::Mlp;
use crate::storage::{MatRef, Matrix};
use std::io::{Read, Write};
use std::path::Path;

/// A network with the standardisation of its inputs and of its targets, as they were fitted on the
/// training set: rows in their own units go in, predictions in the targets' units come out.
///
/// ```
/// use deltarule::data::{Dataset, Standardizer, Targets};
/// use deltarule::{Activation, Mlp, Pipeline, Sgd, Trainer};
///
/// let targets = Targets::Values { values: vec![100.0, 300.0, 500.0], n_outputs: 1 };
/// let data = Dataset::from_f32(vec![1000.0, 2000.0, 3000.0], 1, targets)?;
/// let (inputs, outputs) = (Standardizer::fit_features(&data), Standardizer::fit_targets(&data)?);
/// let train = outputs.apply_to_targets(&inputs.apply_to_features(&data)?)?;
///
/// let mut net = Mlp::builder(1).dense(1, Activation::Identity).build()?;
/// Trainer::new(Sgd::new(0.1)).epochs(100).fit(&mut net, &train)?;
///
/// let pipeline = Pipeline::new(net).inputs(inputs)?.targets(outputs)?;
/// let y = pipeline.predict(deltarule::MatRef::new(&[2500.0], 1, 1)?)?;
/// assert!((y.row(0)[0] - 400.0).abs() < 1.0);
/// # Ok::<(), deltarule::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pipeline {
    network: Mlp,
    inputs: Option<Standardizer>,
    targets: Option<Standardizer>,
}

impl Pipeline {
    /// A network whose inputs and targets are not standardised.
    #[must_use]
    pub fn new(network: Mlp) -> Self {
        Pipeline { network, inputs: None, targets: None }
    }

    /// With standardised inputs.
    ///
    /// # Errors
    /// [`Error::Shape`] when the network has another number of inputs.
    pub fn inputs(mut self, standardizer: Standardizer) -> Result<Self> {
        check_width("standardizer of the inputs", self.network.n_in(), &standardizer)?;
        self.inputs = Some(standardizer);
        Ok(self)
    }

    /// With standardised targets (of a regression).
    ///
    /// # Errors
    /// [`Error::Shape`] when the network has another number of outputs.
    pub fn targets(mut self, standardizer: Standardizer) -> Result<Self> {
        check_width("standardizer of the targets", self.network.n_out(), &standardizer)?;
        self.targets = Some(standardizer);
        Ok(self)
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &Mlp {
        &self.network
    }

    /// The network, without its standardisation.
    #[must_use]
    pub fn into_network(self) -> Mlp {
        self.network
    }

    /// The outputs of each row of `x` (rows x n_in): rows x n_out, in the targets' own units.
    ///
    /// # Errors
    /// As [`Mlp::predict`].
    pub fn predict(&self, x: MatRef) -> Result<Matrix> {
        let mut y = match &self.inputs {
            None => self.network.predict(x)?,
            Some(inputs) => {
                let rows = (0..x.rows()).flat_map(|r| x.row(r)).copied().collect();
                let mut standard = Matrix::from_vec(x.rows(), x.cols(), rows)?;
                inputs.apply(standard.view_mut())?;
                self.network.predict(standard.view())?
            }
        };
        if let Some(targets) = &self.targets {
            targets.invert(y.view_mut())?;
        }
        Ok(y)
    }

    /// Saves everything as one file: the network as [`Mlp::save`] does, the standardisation in the
    /// metadata.
    ///
    /// # Errors
    /// As [`Mlp::save`]; [`Error::Config`] when there are so many columns that the header would be
    /// larger than a reader accepts (about 20,000).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save(&self.network, &self.metadata(), path.as_ref())
    }

    /// Writes everything as [`Pipeline::save`] does, to a writer.
    ///
    /// # Errors
    /// As [`Pipeline::save`].
    pub fn write_to(&self, mut writer: impl Write) -> Result<()> {
        write_to(&self.network, &self.metadata(), &mut writer)
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        let mut metadata = self.network.metadata(MODEL).to_vec();
        let parts = [(&self.inputs, INPUT_KEYS), (&self.targets, TARGET_KEYS)];
        for (standardizer, [mean, std]) in parts {
            if let Some(s) = standardizer {
                metadata.extend([(mean, numbers(s.mean())), (std, numbers(s.std()))]);
            }
        }
        metadata
    }

    /// Loads what [`Pipeline::save`] or [`Mlp::save`] wrote.
    ///
    /// # Errors
    /// As [`Mlp::load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        read_file(path.as_ref(), read)
    }

    /// Reads as [`Pipeline::load`] does, from a reader, to its end.
    ///
    /// # Errors
    /// As [`Pipeline::load`].
    pub fn read_from(reader: impl Read) -> Result<Self> {
        read_stream(reader, read)
    }
}

fn check_width(what: &str, expected: usize, standardizer: &Standardizer) -> Result<()> {
    match standardizer.mean().len() {
        n if n == expected => Ok(()),
        n => Err(Error::shape(what, format!("{expected} columns"), n)),
    }
}

/// Each number in its shortest exact digits, with an exponent: `1.5e2`.
fn numbers(values: &[f64]) -> String {
    let words: Vec<String> = values.iter().map(|x| format!("{x:e}")).collect();
    words.join(" ")
}

/// Reads a number of [`numbers`]. One without an exponent is of a version that kept f32.
fn number(word: &str) -> Option<f64> {
    match word.contains('e') {
        true => word.parse().ok(),
        false => word.parse::<f32>().ok().map(f64::from),
    }
}

fn read(file: Contents) -> Result<Pipeline> {
    file.check_finite()?;
    let network = empty_model(&file)?;
    let inputs = read_standardizer(&file, INPUT_KEYS, network.n_in())?;
    let targets = read_standardizer(&file, TARGET_KEYS, network.n_out())?;
    Ok(Pipeline { network: read_parameters(file, network)?, inputs, targets })
}

fn read_standardizer(
    file: &Contents,
    [mean, std]: [&str; 2],
    width: usize,
) -> Result<Option<Standardizer>> {
    let numbers = |key: &str, text: &str| {
        let bad = |word: &str| file.refuse(format!("{key}: {word:?} is no number"));
        let words = text.split(' ').map(|word| number(word).ok_or_else(|| bad(word)));
        // Counted before they are kept: the network has more weights than that.
        match words.clone().count() {
            n if n == width => words.collect::<Result<Vec<f64>>>(),
            n => Err(file.refuse(format!("{key}: expected {width} columns, got {n}"))),
        }
    };
    let (means, stds) = match (file.metadata(mean), file.metadata(std)) {
        (None, None) => return Ok(None),
        (Some(means), Some(stds)) => (numbers(mean, means)?, numbers(std, stds)?),
        _ => return Err(file.refuse(format!("expected both {mean:?} and {std:?}"))),
    };
    let standardizer = Standardizer::from_parts(means, stds);
    standardizer.map(Some).map_err(|e| file.refuse(format!("{mean}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;

    fn pipeline() -> Pipeline {
        let net = Mlp::builder(2).dense(3, Activation::Tanh).dense(1, Activation::Identity);
        let inputs = Standardizer::from_parts(vec![0.1, -1e-30], vec![3e7, 1.0 / 3.0]).unwrap();
        let targets = Standardizer::from_parts(vec![100.0], vec![0.7]).unwrap();
        Pipeline::new(net.build().unwrap()).inputs(inputs).unwrap().targets(targets).unwrap()
    }

    #[test]
    fn a_pipeline_survives_its_file_bit_for_bit() {
        let pipeline = pipeline();
        let mut bytes = Vec::new();
        pipeline.write_to(&mut bytes).unwrap();
        let back = Pipeline::read_from(&bytes[..]).unwrap();
        assert_eq!(back.network.digest(), pipeline.network.digest());
        assert_eq!((&back.inputs, &back.targets), (&pipeline.inputs, &pipeline.targets));
        let x = MatRef::new(&[1e7, 0.25], 1, 2).unwrap();
        assert_eq!(back.predict(x).unwrap(), pipeline.predict(x).unwrap());
        // By hand: standardise, predict, invert.
        let (a, b) = ((1e7 - 0.1) / 3e7, (0.25 - -1e-30) / (1.0 / 3.0));
        let y = pipeline.network.predict(MatRef::new(&[a as f32, b as f32], 1, 2).unwrap());
        let y = y.unwrap();
        let want = y.row(0)[0] * 0.7 + 100.0;
        assert!((back.predict(x).unwrap().row(0)[0] - want).abs() < 1e-4);
        let error = Mlp::read_from(&bytes[..]).unwrap_err().to_string();
        assert!(error.contains("Pipeline::load"), "{error}");
        let mut model = Vec::new();
        pipeline.network.write_to(&mut model).unwrap();
        assert!(Pipeline::read_from(&model[..]).unwrap().inputs.is_none());
    }

    #[test]
    fn standardisers_that_do_not_fit_are_refused() {
        let one = || Standardizer::from_parts(vec![0.0], vec![1.0]).unwrap();
        let net = || pipeline().into_network();
        assert!(matches!(Pipeline::new(net()).inputs(one()), Err(Error::Shape { .. })));
        let two = Standardizer::from_parts(vec![0.0; 2], vec![1.0; 2]).unwrap();
        assert!(matches!(Pipeline::new(net()).targets(two), Err(Error::Shape { .. })));
        let written = |metadata: &[(&'static str, &str)]| {
            let net = net();
            let mut all = net.metadata(MODEL).to_vec();
            all.extend(metadata.iter().map(|(key, value)| (*key, value.to_string())));
            let mut bytes = Vec::new();
            write_to(&net, &all, &mut bytes).unwrap();
            Pipeline::read_from(&bytes[..])
        };
        let [mean, std] = INPUT_KEYS;
        assert!(written(&[(mean, "0 1"), (std, "1 2")]).is_ok());
        // A version that kept f32 meant the f32.
        let old = written(&[(mean, "0.1 1700000000"), (std, "1 3.3333333")]).unwrap();
        let kept = old.inputs.unwrap();
        assert_eq!(kept.mean(), [f64::from(0.1f32), 1.7e9]);
        assert_eq!(kept.std(), [1.0, f64::from(3.3333333f32)]);
        let new = written(&[(mean, "1e-1 1.70000006e9"), (std, "1e0 6.4e1")]).unwrap();
        assert_eq!(new.inputs.unwrap().mean(), [0.1, 1_700_000_060.0]);
        for (means, stds) in [("0 1", "1"), ("0", "1"), ("0 x", "1 1"), ("0 1", "1 0"), ("", "")] {
            assert!(written(&[(mean, means), (std, stds)]).is_err(), "{means}, {stds}");
        }
        assert!(written(&[(mean, "0 1")]).is_err());
    }
}
