//! The kinds of stages, a file each: how each is planned, its way forward and back.
//!
//! A new layer has a line in each of the functions here, and a file beside them: a [`Core`] if it has parameters or makes
//! pre-activations for what follows it, else a [`Plain`].

mod add;
mod average;
mod conv;
mod copy;
mod core;
mod dense;
mod dropout;
mod kind;
mod norm;
mod planner;
mod pool;
mod prelu;
mod rbf;
mod rows;

pub(super) use conv::goes_by_pairs;
pub(super) use core::{Back, Backward, Core, Left, Packs, Pass, Place, Plain, Samples, Taken};
pub(super) use kind::{Kind, Scaling};
pub(super) use norm::{Norm, NormKind};
pub(super) use planner::{Ask, Made, Planner};
pub(super) use rows::DenseRows;

use crate::kernel::op::activation;
use crate::kernel::op::epilogue::Epilogue;
use crate::kernel::op::pool::PoolKind;
use crate::spec::{Geometry, Network};

/// What the planners need to know of a layer.
pub(super) fn kind(geometry: &Geometry) -> Kind {
    match *geometry {
        Geometry::Conv2d(s) => Kind::Conv(s),
        Geometry::AvgPool(s) => Kind::Pool(PoolKind::Average, s),
        Geometry::MaxPool(s) => Kind::Pool(PoolKind::Maximum, s),
        Geometry::Subsample(s) => Kind::Subsample(s),
        Geometry::Flatten => Kind::Flatten,
        Geometry::Dense(s) => Kind::Dense(s),
        Geometry::Activation(a) => Kind::Activation(a),
        Geometry::BatchNorm(s) => Kind::BatchNorm(s),
        Geometry::Dropout(_) => Kind::Dropout,
        Geometry::Add => Kind::Add,
        Geometry::Prelu(_) | Geometry::Rbf(_) => Kind::Alone,
    }
}

/// Whether some layer compares values, so that a rounding error may decide between two that are nearly equal: maxima, and
/// activations with a kink.
pub(super) fn compares(network: &Network) -> bool {
    network.layers.iter().any(|layer| match layer.geometry {
        Geometry::MaxPool(_) | Geometry::Prelu(_) => true,
        Geometry::Activation(a) => !activation::facts(a).kinks.is_empty(),
        Geometry::Conv2d(_) | Geometry::Dense(_) | Geometry::Rbf(_) | Geometry::Add => false,
        Geometry::AvgPool(_) | Geometry::Subsample(_) | Geometry::BatchNorm(_) => false,
        Geometry::Flatten | Geometry::Dropout(_) => false,
    })
}

/// Plans a stage that begins with a layer.
pub(super) fn plan(planner: &mut Planner, ask: &Ask) -> Made {
    match ask.layer.geometry {
        Geometry::Conv2d(s) => conv::plan(planner, ask, &s),
        Geometry::Dense(s) => dense::plan(planner, ask, s),
        Geometry::Add => add::plan(ask),
        Geometry::Subsample(s) => average::plan(ask, s),
        Geometry::AvgPool(s) if !Epilogue::fits(&s) => pool::plan(ask, PoolKind::Average, s),
        Geometry::MaxPool(s) if !Epilogue::fits(&s) => pool::plan(ask, PoolKind::Maximum, s),
        Geometry::AvgPool(_) | Geometry::MaxPool(_) => copy::plan(ask),
        Geometry::BatchNorm(_) | Geometry::Activation(_) | Geometry::Flatten => copy::plan(ask),
        Geometry::Dropout(rate) => dropout::plan(ask, rate),
        Geometry::Rbf(s) => rbf::plan(ask, s),
        Geometry::Prelu(s) => prelu::plan(planner, ask, s),
    }
}
