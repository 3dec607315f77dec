//! Training on images that are distorted anew each epoch: one thread bends the next batches while
//! another trains on this one. Every distortion is a function of (seed, epoch, index of the image),
//! so the result is that of one thread, bit for bit.

#[path = "distortions.rs"]
mod distortions;

use clap::Args;
use deltarule::data::{Augment, Dataset, Features, Targets, shuffled};
use deltarule::{
    Activation, AdamW, BatchTargets, MatRef, Mlp, Result, Schedule, Threads, Trainer, Training,
};
use distortions::distortions;
use std::sync::mpsc::sync_channel;

const BATCH: usize = 128;

// What a run does. Not a doc comment: clap would take it for what the example as a whole does.
#[derive(Args)]
pub struct Options {
    /// Hidden units
    #[arg(long, default_value_t = 800)]
    pub hidden: usize,
    /// Passes over the training images
    #[arg(long, default_value_t = 30)]
    pub epochs: usize,
    /// Learning rate at the start
    #[arg(long, default_value_t = 0.002)]
    pub lr: f32,
    /// Of weights, order and distortions
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Leave the images as they are
    #[arg(long)]
    pub plain: bool,
}

/// Trains; calls `after` with every epoch's number (from 1) and the session.
pub fn train(
    net: &mut Mlp,
    data: &Dataset,
    options: &Options,
    mut after: impl FnMut(usize, &mut Training) -> Result<()>,
) -> Result<()> {
    let (Features::U8 { data: pixels, scale, shift }, Targets::Classes { labels, .. }) =
        (data.features(), data.targets())
    else {
        unreachable!("images of bytes with classes")
    };
    let &Options { epochs, lr, seed, plain, .. } = options;
    let n = data.n_features();
    let steps = (epochs * data.len().div_ceil(BATCH)) as u64;
    let rates = Schedule::cosine(0.0).over(steps);
    let side = n.isqrt();
    let images = if plain { Augment::new(side, side) } else { distortions(side) };
    let mut augmenter = images.values(scale, shift).augmenter()?;
    let trainer = Trainer::new(AdamW::new(lr)).batch_size(BATCH).threads(Threads::One);
    let mut training = trainer.session(net)?;
    let mut order: Vec<u32> = (0..data.len() as u32).collect();
    std::thread::scope(|scope| {
        // A few batches wait to be trained on.
        let (full, batches) = sync_channel::<Result<(Vec<f32>, Vec<u32>)>>(4);
        scope.spawn(move || {
            for epoch in 1..=epochs as u64 {
                shuffled(seed, epoch, &mut order);
                for batch in order.chunks(BATCH) {
                    let mut x = vec![0.0; batch.len() * n];
                    let bent = batch.iter().zip(x.chunks_mut(n)).try_for_each(|(&i, x)| {
                        let image = &pixels[i as usize * n..][..n];
                        augmenter.apply(seed, epoch, i.into(), image, x)
                    });
                    let y = batch.iter().map(|&i| labels[i as usize]).collect();
                    // Nobody receives any more when training has failed.
                    if full.send(bent.map(|()| (x, y))).is_err() {
                        return;
                    }
                }
            }
        });
        for epoch in 1..=epochs {
            for _ in 0..data.len().div_ceil(BATCH) {
                let Ok(batch) = batches.recv() else { unreachable!("as many as are received") };
                let (x, y) = batch?;
                training.set_learning_rate(rates.rate(lr, training.steps()))?;
                training.step(MatRef::new(&x, y.len(), n)?, BatchTargets::Classes(&y))?;
            }
            after(epoch, &mut training)?;
        }
        Ok(())
    })
}

/// n-hidden-10.
pub fn network(n_in: usize, options: &Options) -> Result<Mlp> {
    Mlp::builder(n_in)
        .dense(options.hidden, Activation::Relu)
        .dense(10, Activation::Softmax)
        .seed(options.seed)
        .build()
}
