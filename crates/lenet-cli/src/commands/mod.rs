//! A file for each command: what it does with what was asked.

pub mod bench;
pub mod data;
pub mod doctor;
pub mod eval;
pub mod export;
pub mod import;
pub mod inspect;
pub mod lr_find;
pub mod predict;
pub mod recipe;
pub mod report;
pub mod serve;
pub mod summary;
pub mod sweep;
pub mod train;
