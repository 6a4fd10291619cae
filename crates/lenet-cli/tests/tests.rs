//! The command line's tests, one program for all but those that need another build: `gpu` and `mpi`.

mod kit;

mod basics;
mod exchange;
mod inspect;
mod recipe;
mod report;
mod serve;
mod stops;
mod tensorboard;
mod training;
mod tui;
