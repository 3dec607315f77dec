//! A training step as separate calls: forward, the loss, backward, update.
//!
//! They run the phases of `train` with what the caller does in between. A backward pass leaves phase 2 to
//! what follows: an update makes it with the rule in its store, as a step does; another forward pass
//! first adds the gradients to those that wait.

use super::batch::{Batch, BatchTargets, first_non_finite_value};
use super::change::{Change, Waiting};
use super::deferred::Deferred;
use super::ops::Buffer;
use super::peaks::Peaks;
use super::pending::{Next, Pending};
use super::phase1::{Turn, first_non_finite};
use super::step::Step;
use super::train::{Run, make, observe, phase1, scans};
use super::views::{BatchBlock, Crew};
use super::workspace::{Workspace, rows_of_block};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::loss::{BlockTargets, Output, Weighting};
use crate::network::Mlp;
use crate::storage::{MatMut, MatRef, PanelMatrix, gather, padded_rows, scatter};
use crate::threads::{Team, Way};
use std::sync::atomic::{AtomicBool, Ordering};

/// A mutable network in training, and what a call of its step uses.
pub(crate) struct Call<'a> {
    pub(crate) net: &'a mut Mlp,
    pub(crate) ws: &'a mut Workspace,
    pub(crate) team: &'a mut Team,
    pub(crate) step: Step<'a>,
}

/// The threads of a step, and how they run it.
fn way(threads: usize) -> Way {
    if threads == 1 { Way::One } else { Way::Team }
}

impl Workspace {
    /// Whether gradients of backward passes wait for an update.
    pub(crate) fn gradients_wait(&self) -> bool {
        self.pending.is_some_and(|pending| pending.next == Next::Update)
            || self.deferred.as_ref().is_some_and(Deferred::waiting)
    }

    /// Forgets a forward pass, and the gradients that wait.
    pub(crate) fn clear_gradients(&mut self) {
        self.pending = None;
        if let Some(deferred) = self.deferred.as_mut().filter(|deferred| deferred.waiting()) {
            deferred.resume(Waiting::default());
            self.bounds.forget();
        }
    }

    /// Room for ∂L/∂inputs, and the first layer's weights transposed.
    ///
    /// # Errors
    /// [`Error::Memory`].
    fn want_input_gradient(&mut self, net: &Mlp) -> Result<()> {
        let dx = &mut self.batch.matrices[self.program.dx.0];
        if dx.cols() == 0 {
            *dx = PanelMatrix::with_stride(self.rows, net.n_in(), padded_rows(self.rows))?;
        }
        let layer = &net.layers[0];
        let wt = match self.first_wt.take() {
            Some(wt) => wt,
            None => layer.transposed_zeros()?,
        };
        layer.transpose_weights(self.first_wt.insert(wt));
        Ok(())
    }

    /// Copies the first `rows` rows of a buffer.
    fn copy_rows(&self, buffer: Buffer, rows: usize, mut out: MatMut) {
        let of = self.batch.matrices[buffer.0].view();
        (0..rows).for_each(|r| scatter(of, r, out.row_mut(r)));
    }
}

impl Call<'_> {
    /// The forward pass of a batch, and its outputs as the loss takes them. On an error the pass did not
    /// happen.
    pub(crate) fn forward(&mut self, x: MatRef, out: MatMut) -> Result<()> {
        self.add_pending()?;
        let Call { net, ws, team, step } = self;
        let rows = x.rows();
        // Forward, gradient of the weights, gradient of the inputs.
        let work = net.n_parameters().saturating_mul(rows).saturating_mul(3);
        let threads = if Way::guess(work) == Way::One { 1 } else { team.threads() };
        let batch = Batch::held(x, BatchTargets::Classes(&[]));
        Peaks::reset(&mut ws.peaks, net, &batch);
        let scan = scans(net, ws, step);
        let crew = &mut Crew::new(team, way(threads));
        let turn = Turn::End;
        let run = Run { batch, bytes: None, weighted: false, threads, scan, turn, dx: false };
        if !phase1(net, ws, crew, &run, step.dropout()) {
            return Err(first_non_finite_value(&batch));
        }
        ws.copy_rows(ws.program.output.a, rows, out);
        let outputs = ws.batch.matrices[ws.program.output.a.0].view();
        let is_finite = |p: usize| {
            let lanes = |line: &crate::simd::Line| line.0.iter().all(|x| x.is_finite());
            outputs.panel(p)[..rows].iter().all(lanes)
        };
        if !(0..outputs.n_panels()).all(is_finite) {
            let layer = first_non_finite(net, &ws.program, &ws.batch.matrices, rows);
            return Err(Error::NonFinite { epoch: 0, step: step.number, layer });
        }
        ws.pending = Some(Pending { rows, next: Next::Backward, threads, scan });
        Ok(())
    }

    /// The mean loss of the outputs of the pending forward pass, and its gradient with respect to them.
    pub(crate) fn loss_gradient(
        &mut self,
        targets: BatchTargets,
        outputs: MatRef,
        dy: MatMut,
    ) -> Result<f64> {
        let Call { net, ws, team, step } = self;
        let Some(Pending { rows, threads, .. }) = ws.pending else {
            return Err(no_forward("loss_gradient"));
        };
        ws.batch.loss_rows = 0;
        let batch = Batch::held(outputs, targets);
        let (output, level) = (ws.program.output, net.level);
        let target_values = Buffer(ws.program.shapes.len());
        let block = rows_of_block(rows, threads, &ws.states);
        let finite = AtomicBool::new(true);
        let mut memory = ws.batch.memory();
        Crew::new(team, way(threads)).run_rows(&mut memory, (rows, block), |block| {
            let BatchBlock { mut rows, labels, losses, .. } = block;
            let first = rows.first();
            // A loss on logits has overwritten them, if it was asked for before.
            gather(level, outputs, first, rows.write(output.a));
            let (a, d, targets) = match targets {
                BatchTargets::Classes(_) => {
                    batch.labels(first, labels);
                    let ([], [a, d]) = rows.get([], [output.a, output.d]);
                    (a, d, BlockTargets::Classes(labels))
                }
                BatchTargets::Values(_) => {
                    if !batch.values(net, first, rows.write(target_values)) {
                        finite.store(false, Ordering::Relaxed);
                    }
                    let ([y], [a, d]) = rows.get([target_values], [output.a, output.d]);
                    (a, d, BlockTargets::Values(y))
                }
            };
            step.loss.backward(
                level,
                Output {
                    a,
                    z: None,
                    targets,
                    d,
                    losses,
                    scale: 1.0 / batch.rows() as f32,
                    weighting: Weighting {
                        rows: None,
                        smoothing: step.smoothing,
                        classes: step.classes,
                    },
                    // The gradient stops at the outputs.
                    activation: Activation::Identity,
                },
            );
        });
        if !finite.into_inner() {
            return Err(first_non_finite_value(&batch));
        }
        if let Some(error) = step.loss.non_finite_row(&ws.batch.losses[..rows], |r| batch.row(r)) {
            return Err(error);
        }
        ws.batch.loss_rows = rows;
        ws.copy_rows(output.d, rows, dy);
        Ok(ws.batch.losses[..rows].iter().sum::<f64>() / rows as f64)
    }

    /// The backward pass of the pending forward pass, from ∂L/∂outputs. On an error it did not happen,
    /// unless deltas overflowed: then the forward pass is used up too.
    pub(crate) fn backward(&mut self, dy: MatRef, dx: Option<MatMut>) -> Result<()> {
        if dx.is_some() {
            self.ws.want_input_gradient(self.net)?;
        }
        let Call { net, ws, team, step } = self;
        let Some(pending @ Pending { next: Next::Backward, .. }) = ws.pending else {
            return Err(no_forward("backward"));
        };
        let Pending { rows, threads, scan, .. } = pending;
        let batch = Batch::held(dy, BatchTargets::Classes(&[]));
        let (turn, weighted) = (Turn::Gradient(dy), false);
        let run = Run { batch, bytes: None, weighted, threads, scan, turn, dx: dx.is_some() };
        phase1(net, ws, &mut Crew::new(team, way(threads)), &run, step.dropout());
        ws.pending = None;
        let overflow = ws.peaks.iter().position(|peaks| !peaks.gradient(rows).is_finite());
        if let Some(layer) = overflow {
            return Err(Error::NonFinite { epoch: 0, step: step.number, layer });
        }
        if let Some(dx) = dx {
            ws.copy_rows(ws.program.dx, rows, dx);
        }
        observe(net, &ws.moments, rows);
        ws.pending = Some(Pending { next: Next::Update, ..pending });
        Ok(())
    }

    /// Adds the gradients of the pending backward pass to those that wait.
    ///
    /// # Errors
    /// [`Error::Config`] where a forward pass is pending; [`Error::NonFinite`], and it is pending still.
    fn add_pending(&mut self) -> Result<()> {
        let Call { net, ws, team, step } = self;
        let Some(Pending { rows, next, threads, .. }) = ws.pending else { return Ok(()) };
        if next == Next::Backward {
            let reason = "the forward pass before it has had no backward pass";
            return Err(Error::config("forward", reason));
        }
        let deferred = match &mut ws.deferred {
            Some(deferred) => deferred,
            None => ws.deferred.insert(Deferred::new(net, step.rates, ws.tiles.all().len())?),
        };
        let waiting = deferred.counts();
        if waiting.batches == 0 {
            // An update may have left its own gradients.
            deferred.resume(waiting);
        }
        let waiting = waiting.with_gradient();
        let change = Change { waiting, ..Change::of_gradient(rows, true) };
        make(net, ws, &mut Crew::new(team, way(threads)), &change, (Some((None, threads)), step))?;
        ws.pending = None;
        Ok(())
    }

    /// Makes an update from the gradients of all backward passes since the last one.
    pub(crate) fn update(&mut self) -> Result<()> {
        let waits = self.ws.deferred.as_ref().is_some_and(Deferred::waiting);
        let pending = self.ws.pending.filter(|pending| pending.next == Next::Update);
        if let (Some(Pending { rows, threads, .. }), false) = (pending, waits) {
            let Call { net, ws, team, step } = self;
            let change = Change::of_gradient(rows, false);
            let crew = &mut Crew::new(team, way(threads));
            make(net, ws, crew, &change, (Some((None, threads)), step))?;
            ws.pending = None;
            return Ok(());
        }
        if pending.is_some() {
            self.add_pending()?;
        }
        let Call { net, ws, team, step } = self;
        let waiting = ws.deferred.as_ref().map_or_else(Waiting::default, Deferred::counts);
        let Some(change) = Change::of_rest(waiting) else {
            let reason = "there was no backward pass since the last update";
            return Err(Error::config("update", reason));
        };
        make(net, ws, &mut Crew::new(team, Way::Team), &change, (None, step))
    }
}

/// The error of a call that needs a forward pass before it.
fn no_forward(call: &str) -> Error {
    Error::config(call, "expected a forward pass before it")
}
