//! Enums whose values have names in recipes.

/// A value that a recipe chooses by its name.
#[cfg_attr(not(feature = "train"), allow(dead_code))]
pub(crate) trait Choice {
    /// Name and documentation of every value.
    fn rows(&self) -> Vec<[&'static str; 2]>;

    /// Name of the value that is chosen.
    fn chosen(&self) -> &'static str;

    /// Chooses by name; false if there is no such value.
    fn choose(&mut self, name: &str) -> bool;
}

/// Defines an enum of named values. What documents a value here documents it for those who write recipes, too.
macro_rules! named {
    (
        $(#[$attribute:meta])*
        pub enum $enum:ident { $($(#[doc = $doc:literal])+ $value:ident = $name:literal,)+ }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(not(feature = "__exhaustive"), non_exhaustive)]
        pub enum $enum { $($(#[doc = $doc])+ $value,)+ }

        impl $enum {
            /// Every value.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$value),+];

            /// The name, as recipes spell it.
            pub const fn name(self) -> &'static str {
                self.row()[0]
            }

            /// Name and documentation.
            pub(crate) const fn row(self) -> [&'static str; 2] {
                match self { $(Self::$value => [$name, concat!($($doc, "\n"),+)],)+ }
            }
        }

        impl $crate::spec::named::Choice for $enum {
            fn rows(&self) -> Vec<[&'static str; 2]> {
                Self::ALL.map(Self::row).into()
            }

            fn chosen(&self) -> &'static str {
                self.name()
            }

            fn choose(&mut self, name: &str) -> bool {
                let found = Self::ALL.into_iter().find(|value| value.name() == name);
                found.map(|value| *self = value).is_some()
            }
        }
    };
}

pub(super) use named;
