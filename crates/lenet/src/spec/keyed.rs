//! Structs whose fields are keys of recipes.

/// Defines settings by one row for each: a field, what it is by default, and what its value may be. All else follows:
/// how it is read and written, the schema, the names that are offered for one that is mistyped.
///
/// ```text
/// /// Rows and columns from one window to the next.
/// pub stride: [usize; 2] = [1, 1], Sides(WINDOWS);
/// ```
///
/// What a value may be is a variant of [`Field`](crate::spec::layers::Field); behind it stand methods of
/// [`Key`](crate::spec::layers::Key), as in `Flag.named("bias")`. What documents the field documents the key. A row
/// that ends with the default holds settings with rows of their own, one that ends with `none` has no key. With
/// `#![cfg(…)]` at the head there are keys under a condition.
macro_rules! keyed {
    (
        $(#![$condition:meta])?
        $(#[$attribute:meta])*
        pub struct $settings:ident {
            $(
                $(#[doc = $doc:literal])+
                pub $field:ident: $type:ty = $usual:expr
                    $(, $form:ident $(($may_be:expr))? $(.$method:ident($($argument:expr)?))*)?;
            )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $settings {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl Default for $settings {
            fn default() -> Self {
                $settings { $($field: $usual,)+ }
            }
        }

        $(#[$condition])?
        impl $settings {
            /// The keys and their values, in the order in which they are written.
            pub(crate) fn keys(&mut self) -> Vec<$crate::spec::layers::Key<'_>> {
                let mut keys = Vec::new();
                $(keys.extend($crate::spec::keyed::keyed!(
                    @row self.$field, $usual, [stringify!($field), concat!($($doc, "\n"),+)]
                    $(, $form $(($may_be))? $(.$method($($argument)?))*)?
                ));)+
                keys
            }
        }
    };

    (@row $settings:ident.$field:ident, $usual:expr, $row:expr) => {
        $settings.$field.keys()
    };

    (@row $settings:ident.$field:ident, $usual:expr, $row:expr, none) => {
        []
    };

    (
        @row $settings:ident.$field:ident, $usual:expr, $row:expr,
        $form:ident $(($may_be:expr))? $(.$method:ident($($argument:expr)?))*
    ) => {{
        use $crate::spec::layers::{Field, Key};
        let is_usual = $settings.$field == $usual;
        [Key::new($row, is_usual, Field::$form(&mut $settings.$field $(, $may_be)?)) $(.$method($($argument)?))*]
    }};
}

pub(super) use keyed;
