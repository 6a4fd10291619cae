//! A row of the tables that describe layers and sections of recipes: one key.

use super::Layer;
use crate::spec::named::Choice;
#[cfg(feature = "train")]
use crate::spec::{error::RecipeError, node::Node};
use std::ops::RangeInclusive;

/// A key of a layer or of a section, and the value that it has.
#[cfg_attr(not(feature = "train"), allow(dead_code))]
pub(crate) struct Key<'a> {
    /// As recipes and models spell it.
    pub name: &'static str,
    /// What it means, for those who write recipes.
    pub doc: &'static str,
    /// What the value may be, and where it is.
    pub field: Field<'a>,
    /// Whether the value is as by default.
    is_usual: bool,
    /// Whether a recipe must have it.
    pub is_needed: bool,
    /// Whether it is written only if it is not as by default.
    pub is_quiet: bool,
    /// The key whose value it takes where a recipe lacks it.
    pub like: Option<&'static str>,
}

impl<'a> Key<'a> {
    /// A key of this name and documentation.
    pub fn new([name, doc]: [&'static str; 2], is_usual: bool, field: Field<'a>) -> Self {
        Key { name, doc, field, is_usual, is_needed: false, is_quiet: false, like: None }
    }

    /// Must be in a recipe.
    pub fn needed(self) -> Self {
        Key { is_needed: true, ..self }
    }

    /// Goes without saying where it is as by default.
    pub fn quiet(self) -> Self {
        Key { is_quiet: true, ..self }
    }

    /// Has the value of this key in a recipe that lacks it.
    pub fn like(self, other: &'static str) -> Self {
        Key { like: Some(other), ..self }
    }

    /// Has another name than its field.
    #[cfg(feature = "train")]
    pub fn named(self, name: &'static str) -> Self {
        Key { name, ..self }
    }

    /// Whether it is written.
    pub fn is_said(&self) -> bool {
        !(self.is_quiet && self.is_usual)
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
    Sides(&'a mut [usize; 2], RangeInclusive<u64>),
    /// Units of a layer; in recipes the last layer's may be `"classes"`.
    Units(&'a mut usize),
    /// The input channels of each output channel.
    Connections(&'a mut Option<Vec<Vec<usize>>>),
    /// Layers within a layer or a section.
    Layers(&'a mut Vec<Layer>),
    /// One of several names.
    Choice(&'a mut dyn Choice),
    /// Channels, rows and columns within a range.
    #[cfg(feature = "train")]
    Triple(&'a mut Option<[usize; 3]>, RangeInclusive<u64>),
    /// A text that is not blank, and what it is, in words.
    #[cfg(feature = "train")]
    Text(&'a mut dyn Slot<String>, &'static str),
    /// A value that is read and written by itself.
    #[cfg(feature = "train")]
    Form(&'a mut dyn Form),
}

/// A value with a form of its own: how it is read, written and checked by editors.
#[cfg(feature = "train")]
pub(crate) trait Form {
    fn read(&mut self, node: &Node, key: &str) -> Result<(), RecipeError>;

    /// As TOML; `None` where it goes without saying.
    fn write(&self) -> Option<String>;

    fn schema(&self) -> serde_json::Value;
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

#[cfg_attr(not(feature = "train"), allow(dead_code))]
impl Range {
    pub const SHARE: Range = Range { open: [false, true], ..Range::new("from 0 to below 1", 0.0, 1.0) };
    pub const UP_TO_1: Range = Range::new("a number from 0 to 1", 0.0, 1.0);
    pub const NOT_NEGATIVE: Range = Range::new("0 or above", 0.0, f64::INFINITY);
    pub const FACTOR: Range = Range::above_0("above 0 and at most 100", 100.0);
    pub const INSIDE: Range = Range { open: [true, true], ..Range::new("above 0 and below 1", 0.0, 1.0) };
    pub const POSITIVE: Range = Range::above_0("a number above 0", f64::INFINITY);

    pub const fn new(words: &'static str, least: f64, most: f64) -> Self {
        Range { words, least, most, open: [false, false], or_zero: false }
    }

    /// The same, called otherwise.
    pub const fn said(self, words: &'static str) -> Self {
        Range { words, ..self }
    }

    /// The same, and 0 besides.
    pub const fn or_zero(self) -> Self {
        Range { or_zero: true, ..self }
    }

    pub const fn above_0(words: &'static str, most: f64) -> Self {
        Range { open: [true, false], ..Range::new(words, 0.0, most) }
    }

    pub fn contains(&self, x: f32) -> bool {
        let [least, most] = [self.least as f32, self.most as f32];
        let from = if self.open[0] { least < x } else { least <= x };
        let to = if self.open[1] { x < most } else { x <= most };
        x.is_finite() && (from && to || self.or_zero && x == 0.0)
    }
}
