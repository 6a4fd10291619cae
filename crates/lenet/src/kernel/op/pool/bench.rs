//! What is timed of a pooling that stands alone: forward and backward.

use super::{PoolKind, Pooling, naive};
use crate::kernel::bench::{Bench, Disagreement, agree};
use crate::kernel::kit::{filled, lane};
use crate::kernel::plan::frame::Frame;
use crate::spec::PoolShape;

pub(crate) fn bench(bench: &mut Bench, name: &str, kind: PoolKind, s: &PoolShape) -> Result<(), Disagreement> {
    let (path, x, y) = (bench.path, Frame::chunk([s.c, s.ih, s.iw]), Frame::chunk([s.c, s.oh, s.ow]));
    let p = Pooling { kind, s: *s, x, y };
    let (x, mut y, mut places) = (filled(&p.x, 20), vec![0.0; p.y.len()], vec![0.0; p.places_len()]);
    p.forward(path, &x, &mut y, &mut places);
    agree(name, &lane(&p.y, &y, 3), &naive::forward(kind, s, &lane(&p.x, &x, 3)).0, 1e-6)?;
    let mut dx = vec![0.0; p.x.len()];
    bench.row(format!("{name} forward"), 0, || p.forward(path, &x, &mut y, &mut places));
    bench.row(format!("{name} backward"), 0, || p.backward(path, &y, &places, &mut dx));
    Ok(())
}
