//! A row of the tables that describe layers and sections of recipes: one key.

use super::Layer;
use super::fit::{LIMIT, LIMIT_WINDOW};
use crate::spec::named::Choice;
use std::ops::RangeInclusive;

/// Sizes: channels, units, rows and columns of an input.
pub(in crate::spec) const SIZES: RangeInclusive<u64> = 1..=LIMIT as u64;
/// Rows and columns of a window, or of its step.
pub(in crate::spec) const WINDOWS: RangeInclusive<u64> = 1..=LIMIT_WINDOW as u64;
/// Rows and columns of padding.
pub(in crate::spec) const PADDINGS: RangeInclusive<u64> = 0..=LIMIT_WINDOW as u64;

/// A key of a layer or of a section, and the value that it has.
#[cfg_attr(not(feature = "train"), allow(dead_code))]
pub(crate) struct Key<'a> {
    /// As recipes and models spell it.
    pub name: &'static str,
    /// What the value may be, and where it is.
    pub field: Field<'a>,
    /// What it means, for those who write recipes.
    pub doc: &'static str,
    /// Whether a recipe must have it.
    pub needed: bool,
    /// Whether it goes without saying: it is not written.
    pub hidden: bool,
    /// The key whose value it takes where a recipe lacks it.
    pub like: Option<&'static str>,
}

impl<'a> Key<'a> {
    /// A key that has a default.
    pub fn new(name: &'static str, field: Field<'a>, doc: &'static str) -> Self {
        Key { name, field, doc, needed: false, hidden: false, like: None }
    }

    /// A key that recipes must have.
    pub fn needed(name: &'static str, field: Field<'a>, doc: &'static str) -> Self {
        Key { needed: true, ..Key::new(name, field, doc) }
    }

    pub fn hidden(self, hidden: bool) -> Self {
        Key { hidden, ..self }
    }

    pub fn like(self, other: &'static str) -> Self {
        Key { like: Some(other), ..self }
    }
}

/// What a value may be, and where it is.
#[cfg_attr(not(feature = "train"), allow(dead_code))]
pub(crate) enum Field<'a> {
    /// A whole number within a range.
    Whole(&'a mut dyn Slot<u64>, RangeInclusive<u64>),
    /// A number within a range.
    Number(&'a mut dyn Slot<f32>, Range),
    /// `true` or `false`.
    Flag(&'a mut bool),
    /// Rows and columns within a range; in recipes one number stands for both.
    Pair(&'a mut [usize; 2], RangeInclusive<u64>),
    /// Units of a layer; in recipes the last layer's may be `"classes"`.
    Units(&'a mut usize),
    /// The input channels of each output channel.
    Connections(&'a mut Option<Vec<Vec<usize>>>),
    /// Layers within a layer or a section.
    Layers(&'a mut Vec<Layer>),
    /// One of several names.
    Choice(&'a mut dyn Choice),
}

/// A place for a value: a variable, or one that can do without.
pub(crate) trait Slot<T> {
    fn get(&self) -> Option<T>;
    fn set(&mut self, value: T);
}

impl<T: Clone> Slot<T> for T {
    fn get(&self) -> Option<T> {
        Some(self.clone())
    }

    fn set(&mut self, value: T) {
        *self = value;
    }
}

impl<T: Clone> Slot<T> for Option<T> {
    fn get(&self) -> Option<T> {
        self.clone()
    }

    fn set(&mut self, value: T) {
        *self = Some(value);
    }
}

// The ranges of what is no `u64` end below 2³², so that no machine loses a digit.
impl Slot<u64> for usize {
    fn get(&self) -> Option<u64> {
        Some(*self as u64)
    }

    fn set(&mut self, value: u64) {
        *self = value as usize;
    }
}

impl Slot<u64> for Option<usize> {
    fn get(&self) -> Option<u64> {
        self.map(|value| value as u64)
    }

    fn set(&mut self, value: u64) {
        *self = Some(value as usize);
    }
}

/// Numbers from one bound to another, which may be none of them.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "train"), allow(dead_code))]
pub(crate) struct Range {
    /// What a value must be, in words.
    pub words: &'static str,
    pub least: f64,
    pub most: f64,
    /// Whether the bounds are outside.
    pub open: [bool; 2],
    /// Whether 0 is allowed besides.
    pub or_zero: bool,
}

impl Range {
    pub const SHARE: Range = Range { open: [false, true], ..Range::new("from 0 to below 1", 0.0, 1.0) };
    pub const POSITIVE: Range = Range::above_0("a number above 0", f64::INFINITY);

    pub const fn new(words: &'static str, least: f64, most: f64) -> Self {
        Range { words, least, most, open: [false, false], or_zero: false }
    }

    pub const fn above_0(words: &'static str, most: f64) -> Self {
        Range { open: [true, false], ..Range::new(words, 0.0, most) }
    }
}
