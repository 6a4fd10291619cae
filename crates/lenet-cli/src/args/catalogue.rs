//! What there is to train on: the parts of `data` and `recipe`.

use super::shared::{SetArgs, Split};
use clap::{Subcommand, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// List the datasets known by name.
    List {
        /// One JSON object a dataset instead of the table.
        #[arg(long)]
        json: bool,
    },
    /// Get a dataset into the cache.
    Fetch {
        /// Its name.
        name: String,
    },
    /// Read a dataset's files in the cache and compare their checksums, or every picture of a folder.
    Check {
        /// Its name, or a folder of pictures.
        name: String,
    },
    /// Show the first images of every class, in characters or as a picture.
    Show {
        /// Its name, a folder of pictures, or idx:DIR.
        name: String,
        /// Write a PNG picture here instead.
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
        /// Which images.
        #[arg(long, value_enum, default_value_t = Split::Train)]
        split: Split,
        /// Images a class, at most.
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=100))]
        per_class: u8,
        /// Instead, the first image of every class, and what the augmentation of this recipe makes of it, epoch by epoch.
        #[arg(long, value_name = "RECIPE", value_hint = ValueHint::AnyPath)]
        augment: Option<String>,
        #[command(flatten)]
        set: SetArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum RecipeCommand {
    /// List the presets.
    List {
        /// One JSON object a preset instead of the table.
        #[arg(long)]
        json: bool,
    },
    /// Print a recipe with every default written out.
    Show {
        /// A preset or a recipe's file.
        #[arg(value_hint = ValueHint::AnyPath)]
        recipe: String,
        #[command(flatten)]
        set: SetArgs,
    },
    /// Print the keys in which two recipes differ.
    Diff {
        /// A preset or a recipe's file.
        #[arg(value_hint = ValueHint::AnyPath)]
        a: String,
        /// Another.
        #[arg(value_hint = ValueHint::AnyPath)]
        b: String,
        /// One JSON object a key instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Say all that is wrong with recipes.
    Validate {
        /// Recipes' files, or presets.
        #[arg(value_name = "RECIPE", required = true, value_hint = ValueHint::AnyPath)]
        recipes: Vec<String>,
    },
    /// Print the JSON Schema of recipes, for editors.
    Schema,
}
