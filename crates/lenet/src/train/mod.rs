//! Training: initialisers, sampler, loop, events, checkpoints.
