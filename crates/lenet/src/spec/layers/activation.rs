//! Elementwise activations.

use super::fit::{At, Misfit, Placed, SpecError};
use super::{Field, Geometry, Key, Range};
use crate::spec::named::named;

/// Defines [`Activation`] by a line for each: what it is, its variant, its keys as [`keyed!`](crate::spec::keyed) has
/// them, its name. A key goes without saying where it is as by default.
macro_rules! activations {
    ($(
        $(#[doc = $doc:literal])+
        $kind:ident $({ $(
            $(#[doc = $about:literal])+
            $key:ident: $type:ty = $usual:expr, $form:ident $(($may_be:expr))?;
        )+ })? = $name:literal;
    )+) => {
        /// An elementwise activation function.
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[cfg_attr(not(feature = "__exhaustive"), non_exhaustive)]
        pub enum Activation {
            $($(#[doc = $doc])+ $kind $({ $($(#[doc = $about])+ $key: $type,)+ })?,)+
        }

        impl Activation {
            /// Every activation, its settings as by default.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$kind $({ $($key: $usual),+ })?),+];

            /// The name, as recipes spell it.
            pub const fn name(self) -> &'static str {
                self.row()[0]
            }

            /// Name and documentation.
            pub(crate) const fn row(self) -> [&'static str; 2] {
                match self { $(Self::$kind { .. } => [$name, concat!($($doc, "\n"),+)],)+ }
            }

            /// The keys and their values, in the order in which they are written.
            pub(in crate::spec) fn keys(&mut self) -> Vec<Key<'_>> {
                match self {
                    $(Self::$kind $({ $($key),+ })? => vec![$($({
                        let row = [stringify!($key), concat!($($about, "\n"),+)];
                        Key::new(row, *$key == $usual, Field::$form($key $(, $may_be)?)).quiet()
                    }),+)?],)+
                }
            }
        }
    };
}

activations! {
    /// 1 / (1 + e⁻ˣ)
    Sigmoid = "sigmoid";
    /// tanh x
    Tanh = "tanh";
    /// max(x, 0), with derivative 0 at 0
    Relu = "relu";
    /// min(max(x, 0), 6), with derivative 0 at 0 and at 6
    Relu6 = "relu6";
    /// x for x > 0, else `slope` · x
    LeakyRelu {
        /// Slope below 0.
        slope: f32 = 0.01, Number(Range::SHARE.said("a number from 0 to less than 1"));
    } = "leaky_relu";
    /// x for x > 0, else `alpha` · (eˣ - 1)
    Elu {
        /// Its least value is minus this.
        alpha: f32 = 1.0, Number(Range::POSITIVE);
    } = "elu";
    /// x · Φ(x), Φ the distribution function of the standard normal
    Gelu {
        /// How Φ is computed.
        approximate: Approximate = Approximate::None, Choice;
    } = "gelu";
    /// x · sigmoid(x)
    Silu = "silu";
    /// x · min(max(x + 3, 0), 6) / 6
    HardSwish = "hard_swish";
    /// 1.7159 · tanh(2x / 3)
    ScaledTanh = "scaled_tanh";
    /// ln(1 + eˣ)
    Softplus = "softplus";
}

named! {
    /// How GELU computes the distribution function of the standard normal, as PyTorch names it.
    pub enum Approximate {
        /// By the error function.
        None = "none",
        /// As (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2, off by up to 0.0003.
        Tanh = "tanh",
    }
}

impl Activation {
    /// The key whose number is outside of its range, and what it must be.
    pub(crate) fn misfit(mut self) -> Option<Misfit> {
        self.keys().into_iter().find_map(|key| {
            let Field::Number(value, range) = key.field else { return None };
            let is_outside = !value.get().is_some_and(|x| range.contains(x));
            is_outside.then_some(Misfit::Setting { key: key.name, must_be: range.words })
        })
    }

    pub(super) fn fit(&self, at: &At) -> Result<Placed, SpecError> {
        match self.misfit() {
            Some(reason) => Err(at.misfit(reason)),
            None => Ok(Placed::new(Geometry::Activation(*self), at.input).said([self.settings()])),
        }
    }

    /// The settings that are not as by default, in words.
    fn settings(mut self) -> String {
        let said = self.keys().into_iter().filter(Key::is_said);
        let words = said.map(|key| format!("{} {}", key.name, key.field.write_json()).replace('"', ""));
        words.collect::<Vec<_>>().join(", ")
    }
}
