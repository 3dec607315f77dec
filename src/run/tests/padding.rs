//! Nothing reads padding: with NaN in all of it before every step, every bit is the same.

use super::{assert_same, for_cases};
use crate::activation::Activation;
use crate::network::{LayerParameters, Mlp};
use crate::program::testing::{BatchRows, Columns, LayerState, Moments, Op, PartRows};
use crate::program::{Slot, Workspace};
use crate::run::training::Training;
use crate::storage::{PanelMatrix, lanes};

/// Every matrix of a network but the running statistics, which have no padding.
fn of_network(net: &mut Mlp) -> Vec<&mut PanelMatrix> {
    net.layers.iter_mut().flat_map(|LayerParameters { w, b, .. }| [w, b]).collect()
}

fn of_slots(slots: &mut [Slot]) -> impl Iterator<Item = &mut PanelMatrix> {
    slots.iter_mut().flat_map(|Slot { w, b }| [w, b])
}

/// Every matrix of a workspace: each field by name, so that a new one is not forgotten.
fn of_workspace(workspace: &mut Workspace) -> Vec<&mut PanelMatrix> {
    let Workspace {
        rows: _,
        program: _,
        lowest: _,
        batch,
        states,
        moments: _,
        columns,
        peaks: _,
        active: _,
        weights: _,
        picked: _,
        tiles: _,
        whole_columns: _,
        deferred,
        bounds: _,
        choices: _,
        first_wt,
        pending: _,
    } = workspace;
    let BatchRows { matrices, places: _, parts, labels: _, losses: _, loss_rows: _, inputs: _ } =
        batch;
    let mut all: Vec<_> = matrices.iter_mut().collect();
    // The tiles of bf16 parts are whole: what lies beyond a matrix is stored as zeros there.
    for PartRows { by: _, x, d } in parts.iter_mut().flatten() {
        all.extend([x, d].into_iter().filter_map(|split| split.sums_mut()));
    }
    for LayerState { wt, parts, slots } in states {
        all.extend(wt.iter_mut().chain(parts.iter_mut().filter_map(|split| split.sums_mut())));
        all.extend(of_slots(slots));
    }
    all.extend(columns.iter_mut().flat_map(Columns::copies_mut));
    all.extend(first_wt.iter_mut());
    all.extend(deferred.iter_mut().flat_map(|d| of_slots(d.gradients_mut())));
    all
}

/// Fills all padding of a session.
pub(super) fn fill(training: &mut Training, value: f32) {
    let (net, workspace) = (&mut *training.net, &mut training.workspace);
    for (layer, moments) in net.layers.iter().zip(&mut workspace.moments) {
        let Some(Moments { values, gradients }) = moments else { continue };
        for (p, line) in values.iter_mut().chain(gradients).flat_map(|l| l.iter_mut().enumerate()) {
            line.0[lanes(layer.n_out(), p)..].fill(value);
        }
    }
    let matrices = of_network(net).into_iter().chain(of_workspace(workspace));
    matrices.for_each(|matrix| matrix.fill_padding(value));
}

/// Networks per width and level; with 16 widths and three levels 2,900 pairs of runs of half a
/// millisecond.
const CASES: u64 = 60;

#[test]
fn nothing_reads_padding() {
    for_cases(0, CASES, |case| {
        let (want, shown) = case.run(|_, _| {});
        assert!(want.iter().all(Option::is_some), "{}: {want:?}", case.words);
        for value in [f32::NAN, f32::INFINITY, -1e30] {
            if value.is_nan() || case.seed % 1000 == 0 {
                let place = format!("{}, {value}", case.words);
                let (got, filled) = case.run(|training, _| fill(training, value));
                assert_eq!(got, want, "{place}: losses");
                assert_same(&place, &filled, &shown);
            }
        }
    });
}

/// The test above sees what it is there to see: a value that is no padding.
#[test]
fn a_value_is_not_padding() {
    let net = Mlp::builder(3).maxout(5, 2).dense(17, Activation::Tanh).layer_norm();
    let mut net = net.dense(2, Activation::Softmax).build().unwrap();
    let before = net.digest();
    of_network(&mut net).into_iter().for_each(|tensor| tensor.fill_padding(f32::NAN));
    assert_eq!(net.digest(), before);
    let nan =
        |t: &PanelMatrix| t.lines().iter().flat_map(|line| line.0).filter(|x| x.is_nan()).count();
    // 3 of 16 rows with 5 of 16 columns each, twice; a bias the same.
    assert_eq!(nan(&net.layers[0].w), 2 * (16 * 16 - 3 * 5));
    assert_eq!(nan(&net.layers[0].b), 2 * 11);
    // The bias, γ and β.
    assert_eq!(nan(&net.layers[1].b), 3 * 15);
    *net.layers[1].w.at_mut(4, 16) = f32::NAN;
    assert_ne!(net.digest(), before);
}

/// The cases reach every buffer that there is.
#[test]
fn cases_have_every_buffer() {
    let mut found = std::collections::BTreeSet::new();
    for_cases(0, CASES, |case| {
        let mut net = case.net.clone();
        let training = case.start(&mut net);
        let Workspace { program, batch, states, moments, columns, deferred, .. } =
            &training.workspace;
        let mut see = |name, is_there: bool| _ = is_there.then(|| found.insert(name));
        see("columns", columns.is_some());
        see("targets", batch.matrices[program.shapes.len()].cols() > 0);
        see("gradients", deferred.is_some());
        see("moments", moments.iter().any(Option::is_some));
        for (state, layer) in states.iter().zip(&training.network().layers) {
            see("transposed weights", state.wt.is_some());
            see("two slots", state.slots.len() == 2);
            see("parts", state.parts.is_some());
            see("parts of maxout", state.parts.is_some() && layer.spec.activation().units() > 1);
        }
        for op in &program.ops {
            match op {
                Op::Product(product) => {
                    see("z", product.z.is_some());
                    see("derivative of its own", product.derivative.is_some());
                }
                Op::Affine(affine) => {
                    see("scale of the inputs", affine.dx.out == program.dx);
                    see("scale", affine.dx.out != program.dx);
                }
                Op::Add { g, inner, .. } => see("inner", g != inner),
                Op::LayerNorm { .. } => see("scales", true),
                Op::BatchNorm(_) => see("normalised columns", true),
                Op::Maxout { .. } => see("units", true),
                Op::Activation { .. } => see("activation of its own", true),
                Op::Keep { .. } => see("kept", true),
                Op::Dropout { .. } => see("dropout", true),
                Op::Branch { .. } => see("branch", true),
            }
        }
    });
    assert_eq!(found.len(), 20, "{found:?}");
}
